"""What `make install` puts in place is what a program needs."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("SWITCHGEAR_PLAIN_BUILD", ROOT / "build"))
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def run(*command, env=None, cwd=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation into a directory of its own."""
    destination = tmp_path_factory.mktemp("destination")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
        env={"DESTDIR": str(destination)})
    [pc] = destination.glob("**/libswitchgear.pc")
    said = re.search(r"^prefix=(.*)$", pc.read_text(), re.M)[1]
    return destination / said.lstrip("/")


@pytest.fixture(scope="module")
def libdir(prefix):
    return next(prefix.glob("**/libswitchgear.so")).parent


def pkg_config(libdir, *options):
    env = {"PKG_CONFIG_PATH": str(libdir / "pkgconfig"),
           "PKG_CONFIG_SYSROOT_DIR": str(libdir)[: -len(said_libdir(libdir))]}
    return run("pkg-config", *options, "libswitchgear", env=env).split()


def said_libdir(libdir):
    """The library directory as an installation without DESTDIR would have it."""
    text = (libdir / "pkgconfig" / "libswitchgear.pc").read_text()
    prefix = re.search(r"^prefix=(.*)$", text, re.M)[1]
    return re.search(r"^libdir=(.*)$", text, re.M)[1].replace("${prefix}", prefix)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_with_pkg_config(prefix, libdir, tmp_path, compiler):
    run(compiler, *STRICT, "-Wno-pedantic", HERE / "ten_lines.c",
        *pkg_config(libdir, "--cflags", "--libs"), "-o", tmp_path / "shared")
    out = run(tmp_path / "shared", env={"LD_LIBRARY_PATH": str(libdir)})
    assert out == "SWG_OK after 3 calls\n"
    needed = run("readelf", "-d", tmp_path / "shared")
    assert "libswitchgear.so.0" in needed


def test_linked_statically(prefix, libdir, tmp_path):
    run("gcc", HERE / "ten_lines.c", "-static",
        *pkg_config(libdir, "--static", "--cflags", "--libs"), "-o", tmp_path / "static")
    assert run(tmp_path / "static") == "SWG_OK after 3 calls\n"


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake here")
def test_with_cmake(prefix, libdir, tmp_path):
    run("cmake", "-S", HERE, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path)
    for program in ("shared", "static"):
        assert run(tmp_path / program) == "SWG_OK after 3 calls\n"


@pytest.mark.parametrize("standard", ["c11", "c17"])
def test_each_header_stands_alone_in_c(prefix, tmp_path, standard):
    for header in sorted((prefix / "include" / "switchgear").glob("*.h")):
        source = tmp_path / "one.c"
        source.write_text(f"#include <switchgear/{header.name}>\nint main(void) {{ return 0; }}\n")
        run("gcc", f"-std={standard}", *STRICT, "-I", prefix / "include", "-c", source, "-o",
            tmp_path / "one.o")


@pytest.mark.parametrize("compiler,standard", [("g++", "c++11"), ("g++", "c++20"),
                                               ("clang++", "c++17")])
def test_each_header_stands_alone_in_cplusplus(prefix, tmp_path, compiler, standard):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    for header in sorted((prefix / "include" / "switchgear").glob("*.h")):
        source = tmp_path / "one.cc"
        source.write_text(f"#include <switchgear/{header.name}>\nint main() {{ return 0; }}\n")
        run(compiler, f"-std={standard}", *STRICT, "-I", prefix / "include", "-c", source, "-o",
            tmp_path / "one.o")


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ here")
def test_a_program_in_cplusplus(prefix, libdir, tmp_path):
    run("g++", "-x", "c++", "-std=c++17", *STRICT, HERE / "ten_lines.c", "-x", "none",
        *pkg_config(libdir, "--cflags", "--libs"), "-o", tmp_path / "shared")
    assert run(tmp_path / "shared", env={"LD_LIBRARY_PATH": str(libdir)}).startswith("SWG_OK")


def test_nothing_is_shown_but_the_interface(libdir):
    """Of the shared library only swg_…; of the static one, no name that is not ours."""
    shown = run("nm", "-D", "--defined-only", libdir / "libswitchgear.so").split("\n")
    names = [line.split()[2].split("@")[0] for line in shown if len(line.split()) == 3]
    assert names and all(re.match(r"swg_[a-z]|SWITCHGEAR_0$", name) for name in names), names
    assert "swg_breaker_admit" in names
    static = run("nm", "-g", "--defined-only", libdir / "libswitchgear.a").split("\n")
    names = [line.split()[2] for line in static if len(line.split()) == 3]
    assert names and all(name.startswith("swg_") for name in names), names


def test_names_of_the_program_do_not_clash(prefix, libdir, tmp_path):
    run("gcc", HERE / "clash.c", "-I", prefix / "include", libdir / "libswitchgear.a", "-pthread",
        "-o", tmp_path / "clash")
    run(tmp_path / "clash")


def test_every_declared_function_is_there(prefix, libdir):
    declared = set()
    for header in (prefix / "include" / "switchgear").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        for found in re.finditer(r"SWG_API[^;{]*?\b(swg_\w+)\s*(?:\(|;|\[)", text):
            declared.add(found[1])
    shown = run("nm", "-D", "--defined-only", libdir / "libswitchgear.so")
    missing = {name for name in declared if not re.search(rf"\b{name}\b", shown)}
    assert len(declared) > 50 and not missing, missing


def test_the_program_is_installed(prefix):
    assert "switchgear 0.1" in run(prefix / "bin" / "switchgear", "version")


def test_manual_pages(prefix):
    """One a header, found by each function's name, without a complaint of man(1)."""
    pages = {page.name: page for page in (prefix / "share" / "man" / "man3").glob("*.3")}
    assert "libswitchgear.3" in pages
    for header in (prefix / "include" / "switchgear").glob("*.h"):
        if header.name not in ("export.h", "switchgear.h"):
            assert f"swg_{header.stem}.3" in pages
    name = pages["swg_breaker.3"].read_text().split(".SH NAME")[1].split(".SH")[0]
    assert "swg_breaker_admit" in name
    if not shutil.which("groff"):
        pytest.skip("no groff here")
    for page in pages.values():
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", str(page)],
                              capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, (page.name, done.stderr)
