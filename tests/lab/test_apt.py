# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives and their packages: sources that are read and made, and which kernel is meant; without apt."""

import pytest

from bondtrace.lab import apt

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGABCDEF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
# a comment inside
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb http://vendor.example/apt bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg,/usr/share/keyrings/b.gpg] \
http://mirror.example/debian/ bookworm main contrib # own
deb http://mirror.example/debian-security bookworm-security main
deb-src http://mirror.example/debian bookworm main
"""

KEY = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBGABCDEF\n -----END PGP PUBLIC KEY BLOCK-----"

OFFERED = [
    "linux-image-5.10.0-46-amd64",
    "linux-image-5.10.0-46-rt-amd64",
    "linux-image-6.1-amd64",
    "linux-image-6.1.0-0.deb11.52-amd64",
    "linux-image-6.1.0-9-amd64",
    "linux-image-6.1.0-56-amd64",
    "linux-image-6.1.0-56-amd64-dbg",
    "linux-image-6.1.0-57-amd64-unsigned",
    "linux-image-6.1.0-57-cloud-amd64",
    "linux-image-6.12.95+deb12-amd64",
    "linux-image-6.12.115+deb13-amd64",
    "linux-image-6.12.115+deb13.1-amd64",
    "linux-image-6.12.115+deb13.1-rt-amd64",
    "linux-image-6.19.14+deb13-amd64",
    "linux-binary-6.19.14+deb13-amd64",
    "linux-image-7.3.4+deb13-amd64",
    "linux-binary-7.3.4+deb13-amd64",
    "linux-modules-7.3.4+deb13-amd64",
    "linux-modules-7.3.4+deb13-rt-amd64",
]


def test_a_sources_file_is_read_with_its_inline_key_and_without_what_is_off():
    assert apt.parse_deb822(DEB822) == [
        apt.SourceEntry(
            ("http://mirror.example/debian",),
            ("bookworm", "bookworm-updates"),
            ("main", "contrib"),
            (("Signed-By", KEY),),
        ),
        apt.SourceEntry(
            ("http://mirror.example/debian-security",),
            ("bookworm-security",),
            ("main",),
            (("Signed-By", "/usr/share/keyrings/debian-archive-keyring.gpg"),),
        ),
    ]


def test_a_sources_list_is_read_with_its_keyrings():
    keyrings = (("Signed-By", "/usr/share/keyrings/a.gpg /usr/share/keyrings/b.gpg"),)
    assert apt.parse_one_line(ONE_LINE) == [
        apt.SourceEntry(("http://vendor.example/apt",), ("bookworm",), ("main",)),
        apt.SourceEntry(("http://mirror.example/debian/",), ("bookworm",), ("main", "contrib"), keyrings),
        apt.SourceEntry(("http://mirror.example/debian-security",), ("bookworm-security",), ("main",)),
    ]


def test_private_sources_swap_the_suites_and_keep_mirror_and_trust():
    # given the machine's sources, in which a vendor's archive uses Debian's suite name too
    entries = apt.parse_one_line(ONE_LINE)
    # when the kernels of all releases are wanted
    text = apt.private_sources(entries, "bookworm", ["bookworm", "bullseye", "trixie"])
    # then both archives are asked for all of them
    assert text == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian/\n"
        "Suites: bookworm bullseye trixie bookworm-backports trixie-backports\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/a.gpg /usr/share/keyrings/b.gpg\n"
        "\n"
        "Types: deb\n"
        "URIs: http://mirror.example/debian-security\n"
        "Suites: bookworm-security bullseye-security trixie-security\n"
        "Components: main\n"
    )


def test_private_sources_for_the_default_kernel_have_no_backports_and_keep_an_inline_key():
    text = apt.private_sources(apt.parse_deb822(DEB822), "bookworm", ["bookworm"])
    assert text == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm\n"
        "Components: main\n"
        f"Signed-By: {KEY}\n"
        "\n"
        "Types: deb\n"
        "URIs: http://mirror.example/debian-security\n"
        "Suites: bookworm-security\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_private_sources_are_empty_without_a_debian_archive():
    entries = apt.parse_one_line("deb http://vendor.example/apt nodistro main")
    assert apt.private_sources(entries, "bookworm", ["bookworm"]) == ""


def test_private_sources_find_a_release_that_is_called_stable():
    entries = apt.parse_one_line("deb http://mirror.example/debian stable main")
    assert apt.private_sources(entries, "bookworm", ["bookworm"]) == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("5.10", ["5.10.0-46-amd64"]),
        ("6.1", ["6.1.0-56-amd64", "6.1.0-9-amd64", "6.1.0-0.deb11.52-amd64"]),
        ("6.12", ["6.12.115+deb13.1-amd64", "6.12.115+deb13-amd64", "6.12.95+deb12-amd64"]),
        ("6.12.95", ["6.12.95+deb12-amd64"]),
        ("6.12-rt", ["6.12.115+deb13.1-rt-amd64"]),
        ("7.3", ["7.3.4+deb13-amd64"]),
        ("6.1.0-9-amd64", ["6.1.0-9-amd64"]),
        ("6.2", []),
    ],
)
def test_a_spec_chooses_the_newest_release_of_its_series_and_flavour(spec, expected):
    assert apt.newest_first(apt.releases_in(OFFERED), spec, "amd64") == expected


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.1.0-56-amd64", ["linux-image-6.1.0-56-amd64"]),
        ("6.19.14+deb13-amd64", ["linux-image-6.19.14+deb13-amd64", "linux-binary-6.19.14+deb13-amd64"]),
        (
            "7.3.4+deb13-amd64",
            ["linux-image-7.3.4+deb13-amd64", "linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64"],
        ),
    ],
)
def test_a_split_kernel_is_all_of_its_packages(release, expected):
    assert apt.packages_of(release, OFFERED) == expected


def test_the_default_kernel_is_what_the_metapackage_depends_on():
    output = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n"
    assert apt.default_release(output) == "6.1.0-56-amd64"
    assert apt.default_release("N: Unable to locate package linux-image-amd64\n") is None


def test_os_release_values_lose_their_quotes():
    text = '# comment\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n'
    assert apt.os_release(text) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "VERSION_CODENAME": "bookworm",
        "ID": "debian",
    }
