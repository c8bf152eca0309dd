"""Unit files as a lab's supervisor understands them."""

from __future__ import annotations

import pytest

from tortie.base.errors import Invalid
from tortie.cli.node_config import unit as node_unit
from tortie.lab.plan import Ready
from tortie.lab.units import daemon_of, environment, expanded, full, parse, plain


def text(*lines: str, program: str = "/bin/sleep 60") -> str:
    return "\n".join(["[Unit]", "Description=x", "[Service]", f"ExecStart={program}", *lines, ""])


def test_the_node_s_own_unit_is_understood_to_the_last_line() -> None:
    unit = parse("calico-node.service", node_unit("/opt/tortie/current/bin/tortie"))
    daemon = unit.daemon
    assert unit.warnings == ()
    assert unit.wanted_by == ("multi-user.target",)
    assert (daemon.name, daemon.argv) == ("calico-node", ("/opt/tortie/current/bin/tortie", "node", "run"))
    assert daemon.manner.before == (("/opt/tortie/current/bin/tortie", "node", "boot"),)
    assert (daemon.manner.restart, daemon.manner.delay, daemon.manner.group) == ("always", 1.0, False)
    assert daemon.manner.env_files == ("-/etc/tortie/node.conf",)
    assert daemon.manner.open_files == 65536
    assert daemon.after == ()


def test_without_a_word_about_it_a_program_is_started_once_and_ends_with_all_it_started() -> None:
    manner = parse("x", text()).daemon.manner
    assert (manner.restart, manner.group, manner.once) == ("no", True, False)
    assert parse("x", text()).daemon.ready == Ready("started")


def test_a_oneshot_is_up_when_it_has_run_to_its_end_and_stays_so_if_it_says_so() -> None:
    once = parse("x", text("Type=oneshot")).daemon
    assert (once.ready, once.manner.once) == (Ready("exit"), True)
    assert parse("x", text("Type=oneshot", "RemainAfterExit=yes")).daemon.manner.once is False


def test_what_has_no_effect_here_is_named() -> None:
    unit = parse("x", text("ProtectSystem=strict", "[Socket]", "ListenStream=80"))
    assert unit.warnings == (
        "x.service:5: the lab does not know ProtectSystem= in [Service]: it has no effect here",
        "x.service:7: the lab does not know ListenStream= in [Socket]: it has no effect here",
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            text("Restart=sometimes"),
            "x.service:5: Restart=sometimes: the lab's supervisor knows no, always, on-failure",
        ),
        (text("Type=notify"), "x.service:5: Type=notify: the lab's supervisor knows simple, exec, oneshot"),
        (text("KillMode=mixed"), "x.service:5: KillMode=mixed: the lab's supervisor knows control-group, process"),
        (text("RestartSec=soon"), "x.service:5: RestartSec=soon: expected seconds, or a number with ms, s, min or h"),
        (text("RestartSec=1.2.3"), "x.service:5: RestartSec=1.2.3: expected seconds"),
        (text("LimitNOFILE=many"), "x.service:5: LimitNOFILE=many: "),
        (text("Environment=A"), "x.service:5: Environment=A: 'A' is not NAME=VALUE"),
        (text("ExecStartPre='/bin/x"), "x.service:5: ExecStartPre='/bin/x: No closing quotation"),
        (text(program="sleep 60"), "x.service:4: ExecStart=sleep 60: expected the full path of a program"),
        (text(program="/bin/echo %h"), "x.service:4: ExecStart=/bin/echo %h: the lab's supervisor knows %i and %%"),
        (text(program=""), "x.service:4: ExecStart=: expected the full path of a program"),
        (text("nonsense"), "x.service:5: 'nonsense' is neither [SECTION] nor NAME=VALUE"),
        ("[Unit]\n", "x.service: it has no ExecStart="),
        ("", "x.service: it has no ExecStart="),
    ],
)
def test_what_cannot_be_meant_is_refused(lines: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse("x.service", lines)
    assert refused.value.problems[0].startswith(said)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        parse("x", text("Restart=sometimes", "Type=dbus"))
    assert len(refused.value.problems) == 2


def test_lines_go_on_comments_are_none_and_quotes_hold_blanks_together() -> None:
    unit = parse(
        "x", "# ExecStart=/no\n[Service]\nExecStart=/bin/sh -c \\\n  'exec sleep 9'\nEnvironment='A=b c' D=e\n"
    )
    assert unit.daemon.argv == ("/bin/sh", "-c", "exec sleep 9")
    assert unit.daemon.env == {"A": "b c", "D": "e"}


def test_an_instance_knows_its_name_and_only_services_are_waited_for() -> None:
    after = "[Unit]\nAfter=network-online.target docker.service\n"
    lines = f"{after}[Service]\nEnvironmentFile=/etc/%i.conf\nExecStart=/bin/x %i\n"
    daemon = parse("tortie@agent.service", lines).daemon
    assert (daemon.name, daemon.argv, daemon.after) == ("tortie@agent", ("/bin/x", "agent"), ("docker",))
    assert daemon.manner.env_files == ("/etc/agent.conf",)


def test_variables_stand_for_words_or_for_parts_of_one() -> None:
    env = {"OPTIONS": "--ip 10.0.0.1", "NAME": "a b"}
    assert expanded(["/bin/x", "$OPTIONS", "--name=${NAME}", "${NAME}", "$NONE", "cost$"], env) == [
        *("/bin/x", "--ip", "10.0.0.1", "--name=a b", "a b", "cost$"),
    ]


def test_an_environment_file_has_lines_and_quotes() -> None:
    assert environment("# A=1\n; B=2\n\nC=3\nD='four five'\nnonsense\n E = \"6\" \n") == {
        "C": "3",
        "D": "four five",
        "E": ' "6"',
    }


def test_names_of_units() -> None:
    assert (plain("a.service"), full("a"), full("a.service")) == ("a", "a.service", "a.service")
    assert daemon_of("calico-node.service") == "node"
