"""harness.py - what bench/speed and bench/faults share.

Starts and ends processes (each by its own pid), fills in configuration
templates, reads CPU time and memory from /proc, and runs the load generator.
Only the standard library.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that makes the run pointless; said in one line."""


# ---- ports, templates, waiting ----

_ports_given = set()


def free_port():
    """A port outside the ephemeral range: one that is let go for a moment (a
    killed endpoint) must not become some client's source port meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low = int(f.read().split()[0])
    for _ in range(1000):
        port = random.randrange(10000, max(low, 10100))
        if port in _ports_given:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise BenchError("no free port below %d" % low)


def fill(template, values, to, plain=False):
    """Writes the template with each ${NAME} replaced; plain: without its "# same" lines."""
    with open(template, encoding="utf-8") as f:
        text = "".join(line for line in f if not (plain and line.endswith(" # same\n")))

    def value(match):
        if match.group(1) not in values:
            raise BenchError("%s: nothing given for %s" % (template, match.group(0)))
        return str(values[match.group(1)])

    with open(to, "w", encoding="utf-8") as f:
        f.write(re.sub(r"\$\{([A-Z_]+)\}", value, text))


def fetch(port, path="/", method="GET", body=None, timeout=2):
    """(status, headers, text) of one request; errors raise OSError."""
    request = urllib.request.Request(
        "http://127.0.0.1:%d%s" % (port, path), method=method, data=body,
        headers={"Content-Type": "application/json"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode("utf-8", "replace")


def wait_for(what, ready, process=None, seconds=10):
    """Calls ready() until it is true; a process that ends meanwhile is an error."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.ended():
            raise BenchError("%s ended at once:\n%s" % (what, process.said()))
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise BenchError("%s was not ready in %d s%s" %
                     (what, seconds, ":\n" + process.said() if process else ""))


def monotonic_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


# ---- processes ----

class Process:
    """One started program in a directory of its own. Ended by pid."""

    def __init__(self, command, directory, cpu=None, nofile=None, env=None):
        self.directory = directory
        self.log = open(os.path.join(directory, "output"), "wb+")

        def prepare():
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            limit = nofile if nofile else hard
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit if nofile else hard))
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        self.popen = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=subprocess.STDOUT,
                                      preexec_fn=prepare, env=env)

    def pids(self):
        """The process and all its descendants (nginx works in a child)."""
        found, queue = [], [self.popen.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children(pid)
        return found

    def ended(self):
        return self.popen.poll() is not None

    def said(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read().decode("utf-8", "replace")[-2000:]

    def stop(self, number=signal.SIGTERM):
        """Ends it and waits; returns the exit status. A program that does not
        go by itself within 10 s is killed, with what it had started."""
        if not self.ended():
            family = self.pids()
            self.popen.send_signal(number)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                for pid in family:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.popen.wait(10)
        self.log.close()
        return self.popen.returncode


def children(pid):
    found = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task), encoding="ascii") as f:
                found += [int(x) for x in f.read().split()]
    except OSError:
        pass
    return found


def cpu_seconds(pids):
    """(user, system) seconds so far, all threads of all these processes."""
    user = system = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            fields = f.read().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / TICKS, system / TICKS


def memory_bytes(pids):
    """{"rss", "pss"} of these processes together."""
    total = {"rss": 0, "pss": 0}
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            for line in f:
                name, _, rest = line.partition(":")
                if name.lower() in total:
                    total[name.lower()] += int(rest.split()[0]) * 1024
    return total


class Workshop:
    """A temporary directory, and everything started in it. Used with `with`."""

    def __init__(self, options):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="switchgear-bench-")
        self.running = []
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name, make_command, role, nofile=None):
        """make_command(directory) returns the command line."""
        self.count += 1
        directory = os.path.join(self.directory, "%d-%s" % (self.count, name))
        os.mkdir(directory)
        cpu = self.options.pin.get(role) if self.options.pin else None
        process = Process(make_command(directory), directory, cpu, nofile)
        self.running.append(process)
        return process

    def stop(self, process):
        self.running.remove(process)
        return process.stop()


# ---- the upstream ----

class Upstream:
    def __init__(self, shop, endpoints=1, fault=None):
        self.ports = {chr(ord("a") + i): free_port() for i in range(endpoints)}
        self.control = free_port()
        command = [shop.options.upstream, "--control", str(self.control)]
        for port in self.ports.values():
            command += ["--endpoint", str(port)]
        if fault:
            command += ["--fault", fault]
        self.shop = shop
        self.process = shop.start("upstream", lambda _: command, "upstream")
        wait_for("upstream", lambda: self.ask("/counters"), self.process)

    def ask(self, path):
        return json.loads(fetch(self.control, path)[2])

    def stop(self):
        self.shop.stop(self.process)


# ---- the products ----

class Product:
    """A proxy that can be started with one of the configurations in conf/."""
    name = suffix = None
    second_role = ""  # of the second endpoint, in the product's own words

    def __init__(self, shop):
        self.shop = shop
        self.nofile = None
        self.port = self.admin_port = self.process = None

    def start(self, kind, upstream_ports, nofile=None):
        self.port, self.admin_port = free_port(), free_port()
        values = {"PORT": self.port, "ADMIN_PORT": self.admin_port, "B_ROLE": self.second_role}
        for letter, port in upstream_ports.items():
            values[letter.upper() + "_PORT"] = port

        def make_command(directory):
            config = os.path.join(directory, kind + self.suffix)
            fill(os.path.join(HERE, "conf", kind + self.suffix), values, config,
                 getattr(self.shop.options, "plain", False))
            return self.command(config, directory)

        self.nofile = nofile
        self.process = self.shop.start(self.name, make_command, "proxy", nofile)
        wait_for(self.name, lambda: fetch(self.port)[0] > 0, self.process)

    def command(self, config, directory):
        raise NotImplementedError

    def pids(self):
        return self.process.pids()

    def alive(self):
        return not self.process.ended()

    def stop(self):
        status = self.shop.stop(self.process)
        self.process = None
        return status


class Switchgear(Product):
    name, suffix = "switchgear", ".yaml"

    def command(self, config, directory):
        return [self.shop.options.switchgear, "run", "-c", config]

    def breaker(self):
        """The service's breaker as the admin API shows it."""
        return json.loads(fetch(self.admin_port, "/api/v1/circuit-breakers/shop")[2])


class HAProxy(Product):
    name, suffix = "haproxy", ".haproxy.cfg"

    def command(self, config, directory):
        # Left to itself it takes half of the descriptors for its clients, less
        # than the idle connections need; where descriptors are short, that is best.
        crowd = [] if self.nofile else ["-n", "12000"]
        return [self.shop.options.haproxy, "-db", *crowd, "-f", config]


class Nginx(Product):
    name, suffix = "nginx", ".nginx.conf"

    def command(self, config, directory):
        return [self.shop.options.nginx, "-p", directory, "-c", config]


class HAProxyBackup(HAProxy):
    """All traffic to the first endpoint while that is up."""
    name, second_role = "haproxy-backup", "backup"


class NginxBackup(Nginx):
    name, second_role = "nginx-backup", "backup"


PRODUCTS = {p.name: p for p in (Switchgear, HAProxy, Nginx, HAProxyBackup, NginxBackup)}
USUAL = ("switchgear", "haproxy", "nginx")


# ---- the load ----

def load_command(shop, port, *arguments, path="/"):
    return [shop.options.load, *[str(a) for a in arguments],
            "http://127.0.0.1:%d%s" % (port, path)]


def load(shop, port, *arguments, path="/"):
    """Runs the generator to its end; its report."""
    command = load_command(shop, port, "--json", "-", *arguments, path=path)
    cpu = shop.options.pin.get("load") if shop.options.pin else None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          preexec_fn=(lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None
                          else None)
    if done.returncode != 0:
        raise BenchError("load: " + done.stderr.decode("utf-8", "replace").strip())
    return json.loads(done.stdout)


class IdleClients:
    """Connections that have had one answer each and are held open."""

    def __init__(self, shop, port, count, patience_ms=5000, at_once=64):
        self.shop = shop
        command = load_command(shop, port, "--idle", "--connections", count,
                               "--at-once", at_once, "--patience", patience_ms,
                               "--json", "report")
        self.process = shop.start("idle", lambda _: command, "load")
        wait_for("idle clients", lambda: "ready" in self.process.said(), self.process,
                 seconds=30 + patience_ms / 1000)
        self.held = int(re.search(r"ready (\d+)", self.process.said()).group(1))

    def release(self):
        report = os.path.join(self.process.directory, "report")
        self.shop.stop(self.process)
        with open(report, encoding="utf-8") as f:
            return json.load(f)


# ---- results ----

def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def table(titles, rows):
    """Text columns: the first to the left, the others to the right."""
    cells = [titles] + [["-" if c is None else str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    lines = []
    for row in cells:
        line = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(line).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def warn_if_busy():
    """The bench needs the cores for itself; said at the start, when it is not its own doing."""
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print("the machine is busy (load average %.1f): figures will be noisy" % busy,
              file=sys.stderr)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return {"cpu": model.group(1) if model else None, "cores": os.cpu_count(),
            "kernel": os.uname().release, "load_average": os.getloadavg()}


def save(name, result):
    """Writes results/NAME-TIME.json and results/NAME.json; returns the latter."""
    directory = os.path.join(HERE, "results")
    os.makedirs(directory, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    latest = os.path.join(directory, name + ".json")
    for path in (os.path.join(directory, "%s-%s.json" % (name, stamp)), latest):
        with open(path, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
    return latest


# ---- command line ----

def add_options(parser):
    parser.add_argument("--build", default=os.path.join(ROOT, "build"),
                        help="the build directory (default: build)")
    parser.add_argument("--switchgear", help="the gateway (default: switchgear in the build)")
    parser.add_argument("--haproxy", default="/usr/sbin/haproxy")
    parser.add_argument("--nginx", default="/usr/sbin/nginx")
    parser.add_argument("--pin", action="store_true",
                        help="proxy on core 0, upstream and load on core 1")


def settle(options):
    """Fills in what the command line left open; drops products that are not there."""
    options.load = os.path.join(options.build, "bench", "load")
    options.upstream = os.path.join(options.build, "bench", "upstream")
    if not options.switchgear:
        options.switchgear = os.path.join(options.build, "switchgear")
    options.pin = {"proxy": 0, "upstream": 1, "load": 1} if options.pin else None
    for need in (options.load, options.upstream):
        if not os.access(need, os.X_OK):
            raise BenchError("%s is not there; build first" % need)
    missing = [name for name in USUAL if not os.access(getattr(options, name), os.X_OK)]
    for name in missing:
        print("%s is left out: %s is not there" % (name, getattr(options, name)), file=sys.stderr)
    return [name for name in PRODUCTS if name.partition("-")[0] not in missing]


def choose(only, choices, what, usual=None):
    if not only:
        return [x for x in choices if usual is None or x in usual]
    wanted = [x.strip() for x in only.split(",")]
    for x in wanted:
        if x not in choices:
            raise BenchError("--only %s: no such %s; there are %s" % (x, what, ", ".join(choices)))
    return [x for x in choices if x in wanted]


def run_main(main):
    """main(), with one line for an error that is not a bug of the bench."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.dont_write_bytecode = True
    try:
        sys.exit(main())
    except BenchError as e:
        print("bench: %s" % e, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
