"""No secret that an administrator wrote comes through."""

import errno
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from barmand.model.masking import hidden, secrets_in, without_secrets
from barmand.model.secret import Conninfo

SECRET = "Hunter2-Secret"  # noqa: S105 - it is made up


@pytest.mark.parametrize(
    "text",
    [
        f"PGPASSWORD={SECRET} /usr/bin/hook",
        f"hook --password={SECRET} --user me",
        f"hook --password {SECRET}",
        f"hook --api-key '{SECRET}' x",
        f"curl -u me:{SECRET} https://example.com",
        f"curl https://me:{SECRET}@example.com/x",
        f"curl -H 'Authorization: Bearer {SECRET}'",
        f"sshpass -p {SECRET} ssh host",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"token: {SECRET}",
        f"host=a password='{SECRET}' user=b",
        f"password = {SECRET}",
        f"curl -u 'admin:{SECRET}' https://h",
        "curl -H 'Authorization: Bearer Hunter2-Secret'",
        f"curl -H 'Authorization: Hunter {SECRET}'",
        f"curl -U u:{SECRET} --proxy-user u:{SECRET} h",
        f"hook --token {SECRET}",
        f"psql postgresql://bob:{SECRET}@h/db",
        f"sshpass -p{SECRET} ssh h",
        f"ssh -o ProxyCommand='nc --proxy-auth u:{SECRET} h' h",
        f"mysqldump -u me -p{SECRET} db",
        f"mysql -p'{SECRET}' db",
        f"gpg --batch --passphrase {SECRET} -c",
        f"echo {SECRET} | gpg --passphrase-fd 0 -c",
        f"printf '%s' {SECRET} | docker login --password-stdin",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert SECRET not in without_secrets(text)
    assert "***" in without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "ssh -q postgres@db.example.com",
        'FATAL:  password authentication failed for user "barmand"',
        "host=db port=5432 user=barmand passfile=/etc/pgpass",
        "fe_sendauth: no password supplied",
        "/usr/local/bin/hook --verbose --server main",
        "https://example.com/a?b=c",
        "mysql -P 3306 -p -h db",
        "ssh -p 22 postgres@db",
        "rsync -p a b",
        "echo done | logger -t hook",
    ],
)
def test_what_helps_is_left_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


TELLING = st.sampled_from(
    ["secret", "password", "passwd", ".pgpass", "api-key", "token.old-token", "my_credentials"]
)
COMPONENTS = TELLING | st.just("Authorization")
FOLDERS = st.lists(COMPONENTS | st.sampled_from(["base", "5", "pg_tblspc", "a.b-c"]), max_size=4)
REASONS = st.sampled_from(
    [words for code in errno.errorcode if len((words := os.strerror(code)).split()) > 1]
    + ["link to nowhere", "page 3 is bad", "cannot open: Permission denied (13)"]
).filter(lambda words: words[0].isalpha() and not words.startswith("Level 2"))
SECRETS = st.from_regex(r"[A-Za-z0-9+/_.~-]{8,20}", fullmatch=True)


@given(folders=FOLDERS, name=COMPONENTS, reason=REASONS)
@pytest.mark.parametrize(
    "text",
    [
        "cannot read {}: {}",
        "{}: {}",
        'could not open file "{}": {}',
        'rsync: [sender] send_files failed to open "{}": {} (13)',
        "cp: cannot stat '{}': {}",
    ],
)
def test_why_a_file_could_not_be_read_is_told_whatever_its_name(
    text: str, folders: list[str], name: str, reason: str
) -> None:
    said = text.format("/".join(["", "srv", *folders, name]), reason)
    assert without_secrets(said) == said


@given(secret=SECRETS, folders=FOLDERS, name=TELLING)
@pytest.mark.parametrize(
    "text",
    [
        "password={}",
        "password: {}",
        "password:{}",
        "{path} password: {}",
        "{path}: Permission denied, password: {}",
        "{path}: Permission denied (token={})",
        "{path}: {}",
        "{path}={}",
        '{{"{path}": "{}"}}',
        "user/password: {}",
        "host=/run/postgresql password={} user=b",
        "postgresql://bob:{}@h/db",
        "cat {path} | hook --password {}",
        "curl -H 'Authorization: Bearer {}' https://h/{path}",
    ],
)
def test_a_secret_is_hidden_whatever_path_stands_beside_it(
    text: str, secret: str, folders: list[str], name: str
) -> None:
    path = "/".join(["", "srv", *folders, name])
    assume(secret not in text.format("", path=path))
    assert secret not in without_secrets(text.format(secret, path=path))


def test_a_known_secret_is_hidden_wherever_it_turns_up() -> None:
    told = {"a": [f"it was {SECRET}!", 7, None], "b": {"c": SECRET}, "d": True}
    assert hidden(told, frozenset({SECRET})) == {
        "a": ["it was ***!", 7, None],
        "b": {"c": "***"},
        "d": True,
    }


def test_a_command_knows_its_secrets() -> None:
    command = f"A=1 PGPASSWORD={SECRET} psql postgresql://u:Other-Secret@h/db --token $TOKEN"
    assert secrets_in(command) == {SECRET, "Other-Secret"}
    assert secrets_in("hook --password-file /etc/hook.pw --token abc") == frozenset()


def test_a_short_one_is_not_looked_for_everywhere() -> None:
    assert without_secrets("main", ["a"]) == "main"


@pytest.mark.parametrize(
    ("conninfo", "secrets"),
    [
        ("host=a user=b", set()),
        ("host=a password=", set()),
        ("host=a password=plain", {"plain"}),
        (r"password='it\'s' host=a", {r"'it\'s'", "it's"}),
        (r"password=a\ b", {r"a\ b", "a b"}),
        ("postgresql://u:p%40ss@h/db", {"p%40ss", "p@ss"}),
        ("postgresql://h/db?password=word&sslpassword=other", {"word", "other"}),
        ("host=a pasword=hunter2", {"hunter2"}),
        (
            "dbname='host=a password=inner'",
            {"'host=a password=inner'", "host=a password=inner", "inner"},
        ),
    ],
)
def test_a_conninfo_knows_its_secrets(conninfo: str, secrets: set[str]) -> None:
    assert Conninfo(conninfo).secrets == secrets
