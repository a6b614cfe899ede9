"""The systemd unit, the Debian packages, the image and what runs in it."""
import gzip
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from kit.admin import ADMIN
from kit.gateway import BINARY, ROOT, Gateway, configuration
from kit.mock import Mock
from kit.waiting import DEADLINE

UNIT = ROOT / "deploy/systemd/switchgear.service"
CONTAINER = ROOT / "deploy/container"
TOKEN = {"SWITCHGEAR_ADMIN_TOKEN": "0123456789abcdef0123456789abcdef"}


def run(*command, **how):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **how)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def unit():
    """(key, value) of the unit, in order."""
    return re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M)


# ---- systemd ------------------------------------------------------------------------------


@pytest.fixture
def analyze():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return lambda *arguments: subprocess.run(["systemd-analyze", *map(str, arguments)],
                                             capture_output=True, text=True)


def test_systemd_understands_the_unit(analyze, tmp_path):
    """With a program and without a manual page: neither is installed here."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/usr/bin/switchgear", os.path.realpath(BINARY))
    copy.write_text(re.sub("^Documentation=.*\n", "", text, flags=re.M))
    done = analyze("verify", "--man=no", copy)
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr
    copy.write_text(copy.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in analyze("verify", "--man=no", copy).stderr


def test_the_unit_is_confined(analyze):
    done = analyze("security", "--offline=true", "--threshold=20", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_waits_for_the_drain():
    keys = dict(unit())
    pages = (ROOT / "docs/reference/configuration.md").read_text()
    drain = pages.split("## `drain`")[1].split("\n## ")[0]
    longest = sum(map(int, re.findall(r"\| `(\d+)s` \|", drain)))
    assert 0 < longest < int(keys["TimeoutStopSec"].removesuffix("s"))
    assert keys["KillMode"] == "mixed"


def test_commands_of_the_unit_exist():
    for key, value in unit():
        if key.startswith("Exec"):
            program, command, *options = value.split()
            assert program == "/usr/bin/switchgear"
            told = run(BINARY, command, "--help")
            assert all(option in told for option in options if option.startswith("-")), value


def test_the_configuration_that_is_installed_checks_clean():
    out = run(BINARY, "check", ROOT / "deploy/systemd/switchgear.yaml")
    assert "good" in out
    text = yaml.safe_load((ROOT / "deploy/systemd/switchgear.yaml").read_text())
    keys = dict(unit())
    assert text["store"].startswith(f"sqlite:/var/lib/{keys['StateDirectory']}/")


# ---- Debian packages -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    """Name -> file, built as `make deb` does."""
    for program in ("dpkg-buildpackage", "dh"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    out = tmp_path_factory.mktemp("deb")
    run(ROOT / "scripts/deb", out)
    return {path.name.split("_")[0]: path for path in out.glob("*.deb")}


@pytest.fixture(scope="module")
def unpacked(debs, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for path in debs.values():
        run("dpkg-deb", "-x", path, root)
    return root


def field(deb, name):
    return run("dpkg-deb", "-f", deb, name).strip()


def contents(deb):
    lines = run("dpkg-deb", "-c", deb).splitlines()
    return {line.split()[5].lstrip(".") for line in lines if not line.endswith("/")}


def test_what_is_in_the_packages(debs):
    assert sorted(debs) == ["libswitchgear-dev", "libswitchgear0", "switchgear"]
    doc = {f"/usr/share/doc/switchgear/{name}" for name in ("changelog.gz", "copyright")}
    assert contents(debs["switchgear"]) == doc | {
        "/etc/switchgear/switchgear.yaml", "/lib/systemd/system/switchgear.service",
        "/lib/systemd/system/switchgear.socket", "/usr/bin/switchgear", "/usr/share/man/man1/switchgear.1.gz"}
    library = contents(debs["libswitchgear0"])
    assert [p for p in library if ".so.0" in p] and not [p for p in library if p.endswith(".h")]
    headers = {f"/usr/include/switchgear/{h.name}" for h in (ROOT / "include/switchgear").iterdir()
               if h.suffix == ".h"}
    assert headers < contents(debs["libswitchgear-dev"])
    assert field(debs["libswitchgear0"], "Depends").startswith("libc6")
    assert "," not in field(debs["libswitchgear0"], "Depends")


def test_the_configuration_is_the_administrators(debs):
    files = run("dpkg-deb", "--ctrl-tarfile", debs["switchgear"], errors="replace")
    assert "conffiles" in files
    info = run("dpkg-deb", "-I", debs["switchgear"], "conffiles")
    assert info.split() == ["/etc/switchgear/switchgear.yaml"]


def test_the_version_is_the_programs(debs):
    said = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    assert {field(path, "Version") for path in debs.values()} == {said}


def test_the_installed_program_runs(unpacked):
    program = unpacked / "usr/bin/switchgear"
    assert "switchgear 0.1" in run(program, "version")
    run(program, "check", unpacked / "etc/switchgear/switchgear.yaml")


def test_it_is_hardened(unpacked):
    program = unpacked / "usr/bin/switchgear"
    assert re.search(r"Type:\s+DYN", run("readelf", "-h", program))
    dynamic = run("readelf", "-d", program)
    assert "BIND_NOW" in dynamic or "NOW" in dynamic
    assert re.search(r"GNU_STACK.*\n.*RW ", run("readelf", "-Wl", program)) or \
        re.search(r"GNU_STACK\s+.* RW ", run("readelf", "-Wl", program))


def test_the_manual_page_is_about_every_command(unpacked):
    text = gzip.open(unpacked / "usr/share/man/man1/switchgear.1.gz", "rt").read()
    commands = re.findall(r"^  (\w+) ", run(BINARY, "help"), re.M)
    assert len(commands) > 10
    assert all(f".SS {command}\n" in text for command in commands)


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_has_nothing_to_say(debs):
    done = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root",
                           *map(str, debs.values())], capture_output=True, text=True)
    # a name that Debian's archive does not know has no bug report to close
    said = [line for line in done.stdout.splitlines() if "initial-upload-closes-no-bugs" not in line]
    assert not said, done.stdout


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_page_is_proper_roff():
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-K", "utf8",
                           str(ROOT / "docs/man/switchgear.1")], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "switchgear run" in re.sub(".\b", "", done.stdout)


# ---- the image ------------------------------------------------------------------------------


def packages(text):
    return set(re.findall(r"[a-z0-9][a-z0-9.+-]+", text))


def containerfile():
    """Instructions, with lines that go on joined."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Containerfile").read_text(), flags=re.M)
    return [line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def installs():
    return [packages(re.search(r"--no-install-recommends (.*?)(&&|$)", rest)[1])
            for what, rest in containerfile() if what == "RUN" and "apt-get install" in rest]


def test_the_image_copies_what_there_is():
    for what, rest in containerfile():
        if what == "COPY" and "--from" not in rest:
            assert (ROOT / rest.split()[0]).exists(), rest


def test_the_image_is_built_with_what_a_build_needs():
    """The same list in three places."""
    make = re.search(r"^PACKAGES_BUILD := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    control = (ROOT / "debian/control").read_text().split("\n\n")[0]
    control = re.search(r"Build-Depends: ((?:.*,\n)*.*)$", control, re.M)[1]
    control = packages(control.replace("(= 13)", "")) - {"debhelper-compat", "python3"}
    build, _ = installs()
    assert packages(make) - {"libcmocka-dev"} == build - {"python3"} == control | {"gcc"}


def test_the_image_has_the_libraries_that_the_program_links(debs):
    _, runtime = installs()
    needed = {d.split()[0] for d in field(debs["switchgear"], "Depends").split(", ")} - {"libc6"}
    assert needed == runtime - {"ca-certificates"}


def test_the_image_runs_as_nobody_and_is_told_to_stop_by_a_signal():
    said = dict(line for line in containerfile())
    user = said["USER"].split(":")[0]
    assert user.isdigit() and int(user) > 0
    assert said["STOPSIGNAL"] == "SIGTERM" and said["ENTRYPOINT"] == '["/usr/bin/switchgear"]'


def test_the_composition_is_one():
    compose = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    config = yaml.safe_load((CONTAINER / "switchgear.yaml").read_text())
    run(BINARY, "check", CONTAINER / "switchgear.yaml", env={**os.environ, **TOKEN})
    asked = {re.match(r"http://([^:]+):8001$", url)[1]
             for service in config["services"].values() for url in service["endpoints"]}
    assert asked == set(compose["services"]) - {"gateway"} == set(compose["services"]["gateway"]["depends_on"])
    for name, service in compose["services"].items():
        told = run(BINARY, service["command"][0], "--help")
        assert all(o in told for o in service["command"] if o.startswith("-")), name
        build = service["build"]
        assert (CONTAINER / build["context"] / build["dockerfile"]).exists()
    for volume in compose["services"]["gateway"]["volumes"]:
        assert (CONTAINER / volume.split(":")[0]).exists()
    health = compose["services"]["gateway"]["healthcheck"]["test"]
    assert run(BINARY, health[2], "--help")


def test_the_composition_is_the_demo():
    """The same services and routes; only where they are found differs."""
    demo = yaml.safe_load((ROOT / "examples/demo.yaml").read_text())
    ours = yaml.safe_load((CONTAINER / "switchgear.yaml").read_text())
    for config in (demo, ours):
        for service in config["services"].values():
            service["endpoints"] = len(service["endpoints"])
    assert [demo[key] for key in ("services", "routes", "defaults")] == \
        [ours[key] for key in ("services", "routes", "defaults")]


# ---- what reloads in a pod --------------------------------------------------------------------


class ConfigMap:
    """A directory as the kubelet mounts it: names lead to ..data, and that to the real
    one, which is replaced as a whole."""

    def __init__(self, directory):
        self.directory, self.version = directory, 0
        self.put("{}")
        (directory / "switchgear.yaml").symlink_to("..data/switchgear.yaml")

    def put(self, text):
        self.version += 1
        real = self.directory / f"..{self.version}"
        real.mkdir()
        (real / "switchgear.yaml").write_text(text)
        new = self.directory / "..data_tmp"
        new.symlink_to(real.name)
        new.rename(self.directory / "..data")
        return self.directory / "switchgear.yaml"


@pytest.fixture
def pod(tmp_path):
    """A gateway, the map of its configuration, and the reloader beside it."""
    mount, programs = tmp_path / "etc", tmp_path / "bin"
    mount.mkdir()
    programs.mkdir()
    (programs / "switchgear").symlink_to(os.path.realpath(BINARY))
    map = ConfigMap(mount)
    mock = Mock()
    config = configuration([mock.url], admin={**ADMIN, "token": TOKEN["SWITCHGEAR_ADMIN_TOKEN"]})
    gw = Gateway(mount, config)
    address = gw.wait_message("admin listening")["address"]
    reloader = subprocess.Popen(
        [str(CONTAINER / "reload-on-change"), str(mount / "switchgear.yaml")], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, **TOKEN, "RELOAD_EVERY": "0.05", "SWITCHGEAR_ADMIN": address,
             "PATH": f"{programs}:{os.environ['PATH']}"})
    assert reloader.stdout.readline().startswith("watching ")
    yield gw, map, config, reloader
    if reloader.poll() is None:
        reloader.kill()
        reloader.wait()
    reloader.stdout.close()
    gw.stop()
    mock.stop()


def as_yaml(config):
    return yaml.safe_dump(config)


def test_a_changed_map_is_read_by_the_running_gateway(pod):
    gw, map, config, reloader = pod
    config["services"]["web"]["fallback"] = [{"static": {"status": 200, "text": "new"}}]
    map.put(as_yaml(config))
    gw.wait_message("configuration reloaded")
    assert reloader.stdout.readline().startswith("reloaded")


def test_a_wrong_map_changes_nothing_and_is_told_once(pod):
    gw, map, config, reloader = pod
    map.put(as_yaml({**config, "servces": {}}))
    gw.wait_message("configuration not reloaded: the old one stays in force")
    map.put(as_yaml({**config, "cache_memory": "2MiB"}))
    gw.wait_message("configuration reloaded")
    assert len(gw.messages("configuration not reloaded: the old one stays in force")) == 1
    assert gw.get("/").status == 200


def test_the_same_text_in_another_directory_is_no_change(pod):
    gw, map, config, reloader = pod
    map.put((map.directory / "switchgear.yaml").read_text())
    map.put(as_yaml({**config, "cache_memory": "2MiB"}))
    gw.wait_message("configuration reloaded")
    assert len(gw.messages("configuration reloaded")) == 1


def test_it_ends_at_once_when_the_pod_does(pod):
    """As the first process of a container, where a signal that nobody handles does nothing."""
    _, _, _, reloader = pod
    assert "trap" in (CONTAINER / "reload-on-change").read_text()
    reloader.terminate()
    assert reloader.wait(DEADLINE) == 0
