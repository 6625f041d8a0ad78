# SPDX-License-Identifier: GPL-2.0-or-later
"""The image: built from the Containerfile by buildah, from a Debian that mmdebstrap makes, as there is no registry
here. Only with `-m deb` (`make test-deb`)."""

import os
import shutil
import subprocess

import pytest
from roots import make_root
from sources import ROOT, copy_to

pytestmark = [
    pytest.mark.deb,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed"),
]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """buildah(command, *words): what it prints; its images are of these tests alone."""
    directory = tmp_path_factory.mktemp("images")
    store = ["--root", directory / "store", "--runroot", directory / "run", "--storage-driver", "vfs"]

    def run(command, *words):
        done = subprocess.run(
            ["buildah", *store, command, *words],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )
        return done.stdout.strip()

    yield run
    run("rm", "--all")
    run("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def container(buildah, tmp_path_factory):
    """A container of the image that the Containerfile describes."""
    base = tmp_path_factory.mktemp("base")
    base.chmod(0o755)
    make_root(base / "trixie", "trixie", ["ca-certificates"])
    archive = base / "trixie.tar"
    subprocess.run(["tar", "--create", "--directory", base / "trixie", "--file", archive, "."], check=True)
    scratch = buildah("from", "scratch")
    buildah("add", "--quiet", scratch, archive, "/")
    buildah("commit", "--quiet", scratch, "base")
    source = tmp_path_factory.mktemp("image") / "source"
    copy_to(source, 1_700_000_001)
    file = source / "packaging/Containerfile"
    buildah("bud", "--pull-never", "--build-arg", "BASE=localhost/base", "-f", file, "-t", "bondtrace", source)
    return buildah("from", "--pull-never", "localhost/bondtrace")


def test_a_recording_looks_as_it_does_here(buildah, container, run):
    buildah("copy", "--quiet", container, ROOT / "examples/ping.arrows", "/srv/")
    status, here, _ = run("summary", "--why", ROOT / "examples/ping.arrows")

    assert (status, buildah("run", container, "--", "bondtrace", "summary", "--why", "/srv/ping.arrows")) == (
        0,
        here.strip(),
    )


def test_it_is_the_exporter_with_all_that_one_needs(buildah, container):
    form = "{{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}"
    assert buildah("inspect", "--type", "image", "--format", form, "localhost/bondtrace") == "[bondtrace] [exporter]"
    buildah("run", container, "--", "/usr/bin/python3", "-c", "import bcc, prometheus_client; bcc.BPF")
