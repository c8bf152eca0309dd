/* What runtimes execute for CNI and for net-modules, compiled: the same as launching.py with one of the two launcher.py,
 * which are placed where no compiler is. What each does and why is written there; both pass one set of tests.
 *
 * SOCKET, SPOOL, VERSION, SUPPORTED, MODULES (1: net-modules' command, 0: CNI's) come from the compiler's command line. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20, DEPTH = 200, PAUSE_MS = 100, PATIENCE_MS = 5000, PROCESS_DIGITS = 20 };
enum { ENVIRONMENT = 4, INPUT_OUTPUT = 5, NOT_DECODED = 6, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };
static const char PROTOCOL[] = "tortie-cni-1"; /* its zero ends it */
extern char **environ;

static char input[MOST + 1], call[2 * MOST], reply[4 * MOST];
static size_t input_size, call_size, reply_size;

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        data += done, size -= (size_t)done;
    }
    return 0;
}

/* Up to `room` bytes; -1 when it cannot be read. */
static ssize_t read_all(int fd, char *into, size_t room) {
    size_t size = 0;
    while (size < room) {
        ssize_t part = read(fd, into + size, room - size);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return -1;
        if (part == 0) break;
        size += (size_t)part;
    }
    return (ssize_t)size;
}

static int say(const char *text, size_t size, int code) {
    if (write_all(1, text, size) == 0) return code;
    dprintf(2, "standard output: %s\n", strerror(errno));
    return 1;
}

static int fail(int code, const char *message) {
    char text[1024], plain[512];
    size_t at = 0;
    for (; message[at] && at < sizeof plain - 1; at++) {
        unsigned char letter = (unsigned char)message[at];
        plain[at] = letter < 32 || letter == 127 || letter == '"' || letter == '\\' ? ' ' : (char)letter;
    }
    plain[at] = 0;
    int size = MODULES ? snprintf(text, sizeof text, "{\"error\":\"%s\"}", plain)
                       : snprintf(text, sizeof text, "{\"code\":%d,\"msg\":\"%s\"}", code, plain);
    return say(text, (size_t)size, 1);
}

static int add(const void *data, size_t size) {
    if (size > sizeof call - call_size) return -1;
    memcpy(call + call_size, data, size);
    call_size += size;
    return 0;
}

static int add_pair(const char *name, const char *value) {
    return add(name, strlen(name)) || add("=", 1) || add(value, strlen(value) + 1) ? -1 : 0;
}

/* A descriptor, because the path may mean another namespace by the time the agent looks; -1 for none. */
static int open_namespace(const char *path) {
    return path && *path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
}

/* Which namespace it is; nothing when it is a plain file, as after a restart of the host. */
static const char *stamp(int space) {
    static char text[64];
    struct stat found, own;
    if (space >= 0 && fstat(space, &found) == 0 && stat("/proc/self/ns/net", &own) == 0 && found.st_dev == own.st_dev)
        snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)found.st_dev, (unsigned long long)found.st_ino);
    return text;
}

static long long now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int connect_until(long long until) {
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (sizeof SOCKET > sizeof where.sun_path) return errno = ENAMETOOLONG, -1;
    memcpy(where.sun_path, SOCKET, sizeof SOCKET);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&where, sizeof where) == 0) return fd;
        int why = errno;
        if (fd >= 0) close(fd);
        if (now(CLOCK_MONOTONIC) >= until) return errno = why, -1;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
}

/* The call with the descriptor, then the whole answer. 0, or why not. */
static const char *exchange(int fd, int space) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } rights = {0};
    struct iovec part = {call, call_size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (space >= 0) {
        rights.head.cmsg_len = CMSG_LEN(sizeof(int));
        rights.head.cmsg_level = SOL_SOCKET, rights.head.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&rights.head), &space, sizeof space);
        message.msg_control = rights.room, message.msg_controllen = sizeof rights.room;
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, 0);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 || write_all(fd, call + sent, call_size - (size_t)sent) || shutdown(fd, SHUT_WR)) return strerror(errno);
    ssize_t size = read_all(fd, reply, sizeof reply);
    if (size < 0) return strerror(errno);
    if (size == 0) return "it ended in the middle of the call";
    if (size == sizeof reply || reply[0] < '0' || reply[0] > '9') return "it answered what is no answer";
    reply_size = (size_t)size;
    return NULL;
}

/* For the agent's next start: runtimes do not repeat a clean-up. */
static int keep(void) {
    char beside[sizeof SPOOL + 64], path[sizeof SPOOL + 64];
    long long at = now(CLOCK_REALTIME);
    snprintf(beside, sizeof beside, "%s/.%020lld-%d", SPOOL, at, (int)getpid());
    snprintf(path, sizeof path, "%s/%020lld-%d", SPOOL, at, (int)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    int failed = write_all(fd, call, call_size) || fsync(fd);
    int why = errno;
    close(fd);
    if (!failed && rename(beside, path) == 0) {
        dprintf(2, "%s does not answer: it is done when the agent is back\n", SOCKET);
        return 0;
    }
    if (!failed) why = errno;
    unlink(beside);
    return errno = why, -1;
}

/* Reading JSON, as far as `command` in the outermost object; only while the agent is away. */
static const char *at, *end;
static char command_found[16];

static void blanks(void) {
    while (at < end && strchr(" \t\r\n", *at) && *at) at++;
}

static int string(char *into, size_t room) {
    const char *first = ++at;
    for (; at < end && *at != '"'; at++)
        if ((unsigned char)*at < 32 || (*at == '\\' && ++at == end)) return 0;
    if (at == end) return 0;
    size_t size = (size_t)(at++ - first);
    if (into) snprintf(into, room, "%.*s", size < room ? (int)size : 0, first);
    return 1;
}

/* Any word or number: what it means is the agent's to say. */
static int scalar(void) {
    const char *first = at;
    while (at < end && (isalnum((unsigned char)*at) || *at == '+' || *at == '-' || *at == '.')) at++;
    return at > first;
}

static int value(int depth) {
    blanks();
    if (at == end || depth > DEPTH) return 0;
    if (*at == '"') return string(NULL, 0);
    if (*at != '{' && *at != '[') return scalar();
    char close = *at++ == '{' ? '}' : ']';
    blanks();
    if (at < end && *at == close) return at++, 1;
    for (;;) {
        char key[16] = "";
        if (close == '}') {
            blanks();
            if (at == end || *at != '"' || !string(key, sizeof key)) return 0;
            blanks();
            if (at == end || *at++ != ':') return 0;
            blanks();
        }
        const char *from = at;
        if (!value(depth + 1)) return 0;
        if (depth == 0 && strcmp(key, "command") == 0) {
            const char *after = at;
            command_found[0] = 0;
            if (*from == '"') at = from, string(command_found, sizeof command_found), at = after;
        }
        blanks();
        if (at == end || (*at != ',' && *at != close)) return 0;
        if (*at++ == close) return 1;
    }
}

/* net-modules' command, empty when it is no request. */
static const char *command_of(void) {
    at = input, end = input + input_size, command_found[0] = 0;
    blanks();
    int is_object = at < end && *at == '{' && value(0);
    blanks();
    return is_object && at == end ? command_found : "";
}

static int is_one(const char *word, const char *const *of) {
    for (; *of; of++)
        if (strcmp(word, *of) == 0) return 1;
    return 0;
}

/* The process whose namespace the agent is to have, by a glance: the agent reads the request and looks again. */
static const char *process_in(void) {
    static char digits[PROCESS_DIGITS + 1];
    const char *key = memmem(input, input_size, "\"pid\"", 5), *stop = input + input_size;
    if (!key) return digits;
    for (key += 5; key < stop && isspace((unsigned char)*key);) key++;
    if (key == stop || *key++ != ':') return digits;
    while (key < stop && isspace((unsigned char)*key)) key++;
    size_t size = 0;
    while (key + size < stop && isdigit((unsigned char)key[size])) size++;
    if (size <= PROCESS_DIGITS) memcpy(digits, key, size);
    return digits;
}

static int fill_modules(int *space) {
    char path[64], moment[32];
    const char *process = process_in();
    snprintf(path, sizeof path, "/proc/%s/ns/net", process);
    *space = open_namespace(*process ? path : NULL);
    snprintf(moment, sizeof moment, "%lld", now(CLOCK_REALTIME));
    return add_pair("PLUGIN", "calico_mesos") || add_pair("PROCESS", process) || add_pair("STAMP", stamp(*space)) ||
           add_pair("TIME", moment);
}

/* A variable that is there twice means what getenv finds: the first. */
static int fill_cni(const char *plugin, int *space) {
    *space = open_namespace(getenv("CNI_NETNS"));
    int failed = add_pair("PLUGIN", plugin) || add_pair("STAMP", stamp(*space));
    for (char **each = environ; *each && !failed; each++) {
        const char *equals = strchr(*each, '=');
        if (!equals || strncmp(*each, "CNI_", 4) != 0) continue;
        size_t name = (size_t)(equals - *each) + 1;
        char **earlier = environ;
        while (earlier != each && strncmp(*earlier, *each, name) != 0) earlier++;
        if (earlier == each) failed = add(*each, strlen(*each) + 1);
    }
    return failed;
}

static int without_agent(const char *command, const char *why) {
    static const char *const cleanups[] = {"cleanup", "release", NULL};
    char text[512];
    int size = snprintf(text, sizeof text, "the agent of this host at %s: %s", SOCKET, why);
    if (MODULES ? !is_one(command_of(), cleanups) : strcmp(command, "DEL") != 0)
        return fail(strcmp(command, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN, text);
    if (keep() == 0) return MODULES ? say("{\"error\":null}", 14, 0) : 0;
    if ((size_t)size < sizeof text)
        snprintf(text + size, sizeof text - (size_t)size, ", and %s: %s", SPOOL, strerror(errno));
    return fail(INPUT_OUTPUT, text);
}

/* A clean-up does not wait for an agent that is away. */
static int reach(const char *command) {
    static const char *const patient[] = {"allocate", "reserve", "isolate", NULL};
    int fd = connect_until(0), why = errno;
    if (fd >= 0 || !(MODULES ? is_one(command_of(), patient) : strcmp(command, "ADD") == 0)) return errno = why, fd;
    return connect_until(now(CLOCK_MONOTONIC) + PATIENCE_MS * 1000000LL);
}

int main(int count, char **words) {
    const char *plugin = count > 0 ? words[0] : "", *command = MODULES ? "" : getenv("CNI_COMMAND"), *slash, *why;
    if ((slash = strrchr(plugin, '/'))) plugin = slash + 1;
    for (int each = 1; each < count; each++)
        if (strcmp(words[each], "-v") == 0 || strcmp(words[each], "--version") == 0)
            return say(VERSION "\n", sizeof VERSION, 0);
    if (!MODULES && !(command && *command))
        return dprintf(2, "%s is a CNI plug-in of Tortie: a container runtime calls it.\n", plugin), 0;
    if (!MODULES && strcmp(command, "VERSION") == 0) return say(SUPPORTED, sizeof SUPPORTED - 1, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    ssize_t size = read_all(0, input, sizeof input);
    if (size < 0) {
        char text[128];
        snprintf(text, sizeof text, "standard input: %s", strerror(errno));
        return fail(INPUT_OUTPUT, text);
    }
    if (size > MOST) return fail(NOT_DECODED, "standard input is longer than 1048576 bytes");
    input_size = (size_t)size;
    int space, full = add(PROTOCOL, sizeof PROTOCOL) || (MODULES ? fill_modules(&space) : fill_cni(plugin, &space));
    if (full || add("", 1) || add(input, input_size)) return fail(ENVIRONMENT, "the call is longer than 2097152 bytes");
    int fd = reach(command);
    why = fd < 0 ? strerror(errno) : exchange(fd, space);
    return why ? without_agent(command, why) : say(reply + 1, reply_size - 1, reply[0] - '0');
}
