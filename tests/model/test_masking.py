"""No secret that an administrator wrote comes through."""

import pytest

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
