"""franz-go: the cases of the program in `tests/go`, each judged by the program itself."""

from harness.registry import case


def go_case(name, **options):
    def run(cx):
        cx.go(name)

    run.__module__ = __name__
    run.__name__ = name.replace("-", "_")
    return case(**options)(run)


for name in (
    "records",
    "compressions",
    "headers",
    "large",
    "time",
    "group",
    "cooperative",
    "static",
    "commits",
    "list-transitions",
    "admin",
    "delete-records",
    "errors",
    "regex",
):
    go_case(name)
