#!/usr/bin/env bash
# Set-up of a checkout: `bash scripts/setup.sh up|test`. Installs what is missing and says so; when nothing is, it takes
# a fraction of a second. Takes only bash and what every Debian and Ubuntu has for granted. It starts, stops and
# configures no service of this machine, and uses the programs that are already there.
set -euo pipefail

readonly PURPOSE=${1:-up}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT
readonly VENV=$ROOT/.venv
readonly PYTHON=/usr/bin/python3
readonly LOG=$ROOT/.setup.log
readonly INSTALLED=$ROOT/.setup.installed # the packages that this machine did not have: who uninstalls wants to know
readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_MARK='# placed by the set-up of Tortie while apt-get runs'
export PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONHOME

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() { # what failed, then what to do
    printf 'set-up: %s\n' "$1" >&2
    shift
    printf '        %s\n' "$@" >&2
    exit 1
}

have() { [ -x "$(command -v "$1" 2>/dev/null)" ]; } # command -v alone finds files that cannot be run, too

# ---- who and where

check_root() {
    [ "$(id -u)" -eq 0 ] || fail 'this needs root (packages, network namespaces, mounts).' "Type: sudo $ROOT/$PURPOSE"
}

distribution() {
    local ID='' ID_LIKE=''
    # shellcheck disable=SC1091
    [ -r /etc/os-release ] && . /etc/os-release
    case " $ID $ID_LIKE " in
    *' ubuntu '*) echo ubuntu ;;
    *' debian '*) echo debian ;;
    *) echo "unknown (${ID:-no /etc/os-release})" ;;
    esac
}

python_is_new() { "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

check_python() {
    python_is_new || fail "$PYTHON is $("$PYTHON" -V 2>&1 | cut -d' ' -f2): too old, Tortie needs 3.11 or later." \
        'Use Debian 12, Ubuntu 24.04 or a later one; their own python3 is new enough.'
}

# ---- system packages

library() { [ -n "$(find /usr/lib /lib -maxdepth 3 -name "$1" -print -quit 2>/dev/null)" ]; }

need() { # package, then a test that is true when what it brings is already there
    local package=$1
    shift
    "$@" || MISSING+=("$package")
}

find_missing() {
    MISSING=()
    need iproute2 have ip
    need nftables have nft
    need haproxy have haproxy
    need bird2 have bird
    need docker.io have dockerd
    need iptables have iptables
    need python3 have "$PYTHON"
    need python3-venv python_has_venv
    need etcd-server have etcd
    need etcd-client have etcdctl
    need redis-server have redis-server
    need nginx have nginx
    need runc have runc
    need net-tools have ifconfig
    need netcat-openbsd have nc
    need openssh-client have ssh-keygen
    need openssh-server have sshd
    need openssl have openssl
    need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
    need curl have curl
    need wget have wget
    need dnsutils have dig
    need iputils-ping have ping
    need sudo have sudo
    need procps have ps
    if [ "$PURPOSE" = test ]; then
        need iperf3 have iperf3
        need podman have podman
        need containernetworking-plugins test -x /usr/lib/cni/ptp
        need gcc have cc # the launchers of plug-ins are tried in C and in Python; `up` does with those in Python
        need libc6-dev test -e /usr/include/stdio.h
        need zsh have zsh # completions are tried in the shells themselves
        need fish have fish
        # Ubuntu's package of that name only leads to a snap: there the browser comes later, from Playwright.
        need libatomic1 library 'libatomic.so.1*' # of Playwright's driver
        [ "$(distribution)" = ubuntu ] || need chromium have chromium
    fi
    # Newer Debians have the client in a package of its own.
    if have dockerd && ! have docker; then
        MISSING+=("$(apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || echo docker.io)")
    fi
}

python_has_venv() { "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; }

install_missing() {
    case $(distribution) in
    debian | ubuntu) ;;
    *) fail "these are missing: ${MISSING[*]}; this distribution is $(distribution)." \
        'Set-up knows Debian 12 and Ubuntu 24.04 (and later). Install what these packages bring, then type this again.' ;;
    esac
    have apt-get || fail "these packages are missing: ${MISSING[*]}; there is no apt-get." 'Install them, then type this again.'
    [ -n "${TORTIE_SETUP_INSIDE:-}" ] || say "system packages to install: ${MISSING[*]}"
    keep_services_stopped
    say 'reading the package lists'
    apt update || true # an old list may still do: the installation tells
    apt install -y --no-install-recommends "${MISSING[@]}" ||
        fail "apt-get could not install ${MISSING[*]}:" "$(grep -E '^(E|Err|W):' "$LOG" | tail -n 5)" "The whole output is in $LOG."
    let_services_go
    stay_disabled
    hash -r
    printf '%s\n' "${MISSING[@]}" >>"$INSTALLED"
    find_missing
    if have dockerd && [ ${#MISSING[@]} -gt 0 ]; then # docker-cli is only known to be missing now
        apt install -y --no-install-recommends "${MISSING[@]}" || true
        printf '%s\n' "${MISSING[@]}" >>"$INSTALLED"
        find_missing
    fi
    [ ${#MISSING[@]} -eq 0 ] || fail "still missing after the installation: ${MISSING[*]}" "The whole output is in $LOG."
}

apt() { # apt-get with its progress on one line
    local command=$1
    shift
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 -o APT::Status-Fd=9 "$command" "$@" \
        9> >(show_progress) >>"$LOG" 2>&1 </dev/null
}

show_progress() { # apt's status lines: kind:package:percent:text
    local kind package percent text last=''
    while IFS=: read -r kind package percent text; do
        if [ -t 2 ]; then
            printf '\r\033[K        %3.0f%%  %s' "${percent%.*}" "$text" >&2
        elif [ "$kind" = pmstatus ] && [ "${percent%%.*}" != "$last" ] && [ $((${percent%%.*} % 25)) -eq 0 ]; then
            last=${percent%%.*}
            printf '        %s%%  %s\n' "$last" "$text" >&2
        fi
    done
    [ -t 2 ] && printf '\r\033[K' >&2
    return 0
}

# A package that brings a service starts it, unless policy-rc.d says no. Ours says so while apt-get runs; one that the
# machine has already stays as it is, and is only hidden from apt-get.
keep_services_stopped() {
    if [ -e "$POLICY" ] && ! grep -qF "$POLICY_MARK" "$POLICY"; then
        OURS=$(mktemp)
        write_policy "$OURS"
        # From here on this script sees our file in the place of theirs; nobody else does.
        if [ -z "${TORTIE_SETUP_INSIDE:-}" ]; then
            say "there is a $POLICY already: it stays as it is"
            TORTIE_SETUP_INSIDE=$OURS exec unshare --mount --propagation private \
                bash -c 'mount --bind "$TORTIE_SETUP_INSIDE" "$0" && exec bash "$1" "$2"' "$POLICY" "$ROOT/scripts/setup.sh" "$PURPOSE"
        fi
        return
    fi
    [ -n "${TORTIE_SETUP_INSIDE:-}" ] && return
    trap let_services_go EXIT
    trap 'exit 130' INT TERM HUP
    write_policy "$POLICY"
}

write_policy() {
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$1"
    chmod 755 "$1"
}

let_services_go() {
    if [ -z "${TORTIE_SETUP_INSIDE:-}" ] && [ -e "$POLICY" ] && grep -qF "$POLICY_MARK" "$POLICY"; then rm -f "$POLICY"; fi
}

# What was installed just now and brings a service must not start with the next boot either.
stay_disabled() {
    local package unit service
    for package in "${MISSING[@]}"; do
        case $package in
        docker.io) service=docker && set -- docker.service docker.socket containerd.service ;;
        bird2) service=bird && set -- bird.service ;;
        haproxy) service=haproxy && set -- haproxy.service ;;
        etcd-server) service=etcd && set -- etcd.service ;;
        redis-server) service=redis-server && set -- redis-server.service ;;
        nginx) service=nginx && set -- nginx.service ;;
        podman) service=podman && set -- podman.service podman.socket podman-restart.service podman-auto-update.timer ;;
        openssh-server) service=ssh && set -- ssh.service ssh.socket ;;
        firewalld) service=firewalld && set -- firewalld.service ;;
        *) continue ;;
        esac
        for unit in "$@"; do # not every release has all of them, nor every machine systemd
            DPKG_MAINTSCRIPT_PACKAGE=$package deb-systemd-helper disable "$unit" >>"$LOG" 2>&1 || true
        done
        have update-rc.d && { update-rc.d "$service" disable >>"$LOG" 2>&1 || true; }
        say "$package is installed; its service is not running and does not start at boot"
    done
}

# ---- the kernel: tried, not asked about

try() { # what, then a command that must work in namespaces of its own
    local what=$1
    shift
    local said
    said=$(unshare --net --mount --propagation private bash -c "$1" 2>&1) ||
        fail "this machine cannot make $what: $(tail -n 1 <<<"$said")" \
            'Tortie needs root with all capabilities on Linux 5.10 or later; in a container: --privileged, a volume for /var/lib.'
}

check_kernel() {
    unshare --net --mount --uts --pid --fork true 2>/dev/null ||
        fail 'this machine cannot make network, mount, UTS and PID namespaces.' \
            'Run it on a Linux machine or VM of its own; in a container: --privileged.'
    try 'veth interfaces (module veth)' 'ip link add v0 type veth peer name v1'
    try 'bridges (module bridge)' 'ip link add b0 type bridge'
    try 'nftables tables (module nf_tables)' \
        'nft "table inet t { chain c { type filter hook forward priority 0; ct state established accept; }; }"'
    try "an overlay of / with its layers in /var/lib (module overlay)" '
        d=$(mktemp -d /var/lib/tortie-setup.XXXXXX) && mkdir "$d/u" "$d/w" "$d/m" &&
        { mount -t overlay overlay -o "lowerdir=/,upperdir=$d/u,workdir=$d/w" "$d/m"; code=$?; }
        umount "$d/m" 2>/dev/null; rm -rf "$d"; exit "${code:-1}"'
    [ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ] ||
        fail 'there are no control groups below /sys/fs/cgroup.' 'Mount them (package cgroupfs-mount), then type this again.'
}

# ---- the private Python environment

stamp_of() { # of some files, for this checkout and this Python
    { echo "$ROOT" "$("$PYTHON" -V)" && cd "$ROOT" && sha256sum "$@"; } | sha256sum
}

is_stamped() { [ "$(cat "$VENV/.stamp-$1" 2>/dev/null)" = "$2" ]; }

make_environment() {
    say "private Python environment in $VENV"
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV" >>"$LOG" 2>&1 || fail "python3 -m venv failed: $(tail -n 1 "$LOG")" "The whole output is in $LOG."
    local total
    total=$(grep -c '^[a-z0-9].*==' "$ROOT/requirements.lock")
    say "Python packages: $total, each checked against its hash in requirements.lock"
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes \
        -r "$ROOT/requirements.lock" 2>&1 </dev/null | tee -a "$LOG" | count_packages "$total" ||
        fail 'pip could not install the packages of requirements.lock:' "$(grep -E '^ *ERROR' "$LOG" | tail -n 3)" \
            "The whole output is in $LOG. Is the network there?"
    "$VENV/bin/python" -m compileall -q "$ROOT/src" >>"$LOG" 2>&1
}

count_packages() {
    local total=$1 n=0 line
    while read -r line; do
        case $line in
        Collecting*)
            n=$((n + 1))
            if [ -t 2 ]; then
                printf '\r\033[K        %d of %d  %s' "$n" "$total" "${line%% (*}" >&2
            elif [ $((n % 20)) -eq 0 ]; then
                printf '        %d of %d\n' "$n" "$total" >&2
            fi
            ;;
        Installing*) [ -t 2 ] && printf '\r\033[K        writing them' >&2 ;;
        esac
    done
    [ -t 2 ] && printf '\r\033[K' >&2
    return 0
}

browser_for_ubuntu() {
    have chromium || have google-chrome || [ -e "$VENV/.browser" ] && return
    say 'a browser for the tests of the pages (Playwright brings one)'
    "$VENV/bin/playwright" install --with-deps chromium >>"$LOG" 2>&1 </dev/null ||
        say "no browser could be installed: the tests of the pages will be skipped (see $LOG)"
    touch "$VENV/.browser" # tried once; a new environment tries again
}

firewalld_for_tests() { # started only by the tests beside it, in a network namespace and on a message bus of their own
    { have firewalld && have dbus-daemon; } || [ -e "$VENV/.firewalld" ] && return
    say 'firewalld for the tests beside it (it is not started here)'
    MISSING=(firewalld dbus-daemon)
    [ "$(apt-cache policy dbus-daemon 2>/dev/null)" ] || MISSING=(firewalld dbus)
    keep_services_stopped
    if apt install -y --no-install-recommends "${MISSING[@]}"; then
        printf '%s\n' "${MISSING[@]}" >>"$INSTALLED"
        stay_disabled
    else
        say "firewalld could not be installed: the tests beside it will be skipped (see $LOG)"
    fi
    let_services_go
    touch "$VENV/.firewalld" # tried once; a new environment tries again
}

main() {
    case $PURPOSE in up | test) ;; *) fail "set-up is for up or test, not $PURPOSE." 'Type: ./up or ./test' ;; esac
    check_root
    local begun=$SECONDS did=''
    find_missing
    if [ ${#MISSING[@]} -gt 0 ]; then
        : >"$LOG"
        [ -x "$PYTHON" ] && check_python
        install_missing
        did=yes
    fi
    check_python
    local kernel packages commands
    kernel=$(uname -r)
    is_stamped kernel "$kernel" || check_kernel
    packages=$(stamp_of requirements.lock)
    if ! is_stamped packages "$packages"; then
        make_environment
        echo "$packages" >"$VENV/.stamp-packages"
        did=yes
    fi
    commands=$(stamp_of pyproject.toml scripts/link.py)
    if ! is_stamped commands "$commands"; then
        "$VENV/bin/python" "$ROOT/scripts/link.py" "$ROOT"
        echo "$commands" >"$VENV/.stamp-commands"
    fi
    echo "$kernel" >"$VENV/.stamp-kernel"
    if [ "$PURPOSE" = test ] && [ "$(distribution)" = ubuntu ]; then browser_for_ubuntu; fi
    if [ "$PURPOSE" = test ]; then firewalld_for_tests; fi
    [ -z "$did" ] || say "done ($((SECONDS - begun)) s)"
}

main
