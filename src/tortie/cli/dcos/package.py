"""`dcos package`: install and look after packages; what its words are."""

from __future__ import annotations

from tortie.cli.dcos.grammar import Command, Verb

COMMAND = Command(
    "package",
    (
        Verb(
            "describe",
            "<package-name> [--app] [--render] [--cli] [--config] [--package-versions] [--options=<file>] "
            "[--package-version=<package-version>]",
            "package_looking:describe",
            "Get specific details for packages.",
        ),
        Verb(
            "install",
            "<package-name> [--cli | --app] [--app-id=<app-id>] [--package-version=<package-version>] "
            "[--options=<file>] [--yes] [--global] [--wait=<duration>]",
            "package_install:install",
            "Install a package.",
        ),
        Verb(
            "list",
            "[--json] [--app-id=<app-id>] [--cli] [<package-name>]",
            "package_looking:list_",
            "Print a list of the installed DC/OS packages.",
        ),
        Verb(
            "repo add",
            "<repo-name> <repo-url> [--index=<index>]",
            "package_repo:add",
            "Add a package repository to DC/OS.",
        ),
        Verb("repo import", "<repos-file>", "package_repo:import_", "Add the repositories of a `repo list --json`."),
        Verb("repo list", "[--json]", "package_repo:list_", "List all package repositories."),
        Verb("repo remove", "<repo-name>...", "package_repo:remove", "Remove package repositories from DC/OS."),
        Verb("search", "[--json] [<query>]", "package_looking:search", "Search the package repositories."),
        Verb(
            "uninstall",
            "<package-name> [--cli | --app] [--app-id=<app-id>] [--all] [--force] [--yes]",
            "package_install:uninstall",
            "Uninstall a package.",
        ),
        Verb(
            "update",
            "[<package-name>] [--app-id=<app-id>] [--package-version=<package-version>] [--options=<file>] [--replace] "
            "[--force]",
            "package_install:update",
            "Give an installed package other options, or another version.",
        ),
    ),
    {
        "--all": "All apps of the package.",
        "--app": "Only the app, or of a description the app's template.",
        "--app-id=<app-id>": "The id of the app.",
        "--cli": "Only the command that the package brings.",
        "--config": "The options that the package knows, as a schema.",
        "--force": "Also when other packages need it, or while another deployment of the app is under way.",
        "--global": "The command that the package brings is there for all clusters.",
        "--index=<index>": "The place in the list. Packages of the first repository that has them are taken.",
        "--json": "Print JSON-formatted data.",
        "--options=<file>": "The path to a JSON file with the package's options.",
        "--package-version=<package-version>": "The version of the package.",
        "--package-versions": "All versions that there are, the newest first.",
        "--render": "With --app: the template filled with the options.",
        "--replace": "The options take the place of those of before, instead of being merged into them.",
        "--wait=<duration>": "Wait until it runs, and what its framework rolls out is done: 90s, 10m or 1h.",
        "--yes": "Do not ask.",
    },
    {
        "<package-name>": "The name of the package, as `dcos package search` has it.",
        "<query>": "A part of a name, a description or a tag; with * a pattern for the whole of one.",
        "<repo-name>": "The name of the repository.",
        "<repo-url>": "Its address.",
        "<repos-file>": "The path to the file.",
    },
)
