"""What a hub is asked to show, what fits, and what of a login may be said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter import credentials, pushrm
from orbiter.credentials import Login
from orbiter.errors import UsageError

END = "\n\n---\n\nThis is a part only; the rest is in the README of the project.\n"


@pytest.mark.parametrize(
    ("repo", "provider", "request_line"),
    [
        ("course/lab", None, "PATCH https://hub.docker.com/v2/repositories/course/lab/"),
        ("docker.io/course/lab", "dockerhub", "PATCH https://hub.docker.com/v2/repositories/course/lab/"),
        ("quay.io/course/lab", None, "PUT https://quay.io/api/v1/repository/course/lab"),
        ("hub.example.org/course/lab", "quay", "PUT https://hub.example.org/api/v1/repository/course/lab"),
        ("h.org:8443/p/lab", "harbor2", "PUT https://h.org:8443/api/v2.0/projects/p/repositories/lab"),
        ("h.org/p/a/b", "harbor2", "PUT https://h.org/api/v2.0/projects/p/repositories/a%252Fb"),
        ("127.0.0.1:5000/p/a", "quay", "PUT http://127.0.0.1:5000/api/v1/repository/p/a"),
        ("localhost/p/a", "quay", "PUT http://localhost/api/v1/repository/p/a"),
        ("127.0.0.1.example.org/p/a", "quay", "PUT https://127.0.0.1.example.org/api/v1/repository/p/a"),
    ],
)
def test_where_the_readme_goes(repo: str, provider: str | None, request_line: str) -> None:
    repository = pushrm.repository(repo, provider)
    assert f"{pushrm.method(repository)} {pushrm.url(repository)}" == request_line


def test_provider_that_a_host_is_not() -> None:
    with pytest.raises(UsageError, match=r"--provider quay: docker\.io is dockerhub"):
        pushrm.repository("course/lab", "quay")


def test_nothing_prints_a_secret() -> None:
    login = Login(user="me", secret="s3cret")
    repository = pushrm.repository("course/lab", None)
    harbor = pushrm.repository("h.org/course/lab", "harbor2")
    request = pushrm.update_request(harbor, login, "text", None)
    assert "s3cret" not in repr((login, pushrm.token_request(repository, login), request))
    assert request.headers["Authorization"].removeprefix("Basic ") not in repr(request)
    said = f"unauthorized: {request.headers['Authorization']}, me:s3cret"
    assert pushrm.redact(said, request.secrets) == "unauthorized: Basic ***, me:***"


def test_generic_variables_come_before_those_of_the_host() -> None:
    own = {"DOCKER_USER__H_ORG_8443": "own", "DOCKER_PASS__H_ORG_8443": "1"}
    every = {"DOCKER_USER": "every", "DOCKER_PASS": "2"}
    assert credentials.from_environment(own, "h.org:8443") == Login(user="own", secret="1")
    assert credentials.from_environment(own | every, "h.org:8443") == Login(user="every", secret="2")
    assert credentials.from_environment({"DOCKER_USER": "every"}, "h.org") is None
    assert credentials.api_key({"APIKEY__QUAY_IO": "own", "DOCKER_APIKEY": "every"}, {}, "quay.io") == "every"
    assert credentials.api_key({"APIKEY__QUAY_IO": "own"}, {}, "quay.io") == "own"


def test_docker_hub_is_kept_under_its_old_name() -> None:
    config = {"auths": {"https://index.docker.io/v1/": {"auth": "bWU6YTpi"}}, "credHelpers": {"quay.io": "q"}}
    assert credentials.from_config(config, credentials.servers("docker.io"), "f") == Login(user="me", secret="a:b")
    assert credentials.helper(config, credentials.servers("docker.io")) is None
    assert credentials.helper(config, credentials.servers("quay.io")) == "q"


@pytest.mark.parametrize("auth", ["bWU=", "not base64", "/////w=="])
def test_login_that_cannot_be_read_is_not_shown(auth: str) -> None:
    with pytest.raises(UsageError) as error:
        credentials.from_config({"auths": {"h": {"auth": auth}}}, ("h",), "config.json")
    assert str(error.value) == "config.json: the login of h cannot be read; 'docker login' again"


@pytest.mark.parametrize("config", [b"[]", b"{}", b'{"auths": 3, "credHelpers": [], "plugins": {"docker-pushrm": 1}}'])
def test_strange_file_of_docker_has_no_login(config: bytes) -> None:
    parsed = credentials.parse(config, "config.json")
    assert credentials.from_config(parsed, ("h",), "config.json") is None
    assert credentials.helper(parsed, ("h",)) is None
    assert credentials.api_key({}, parsed, "h") is None


def test_readme_that_fits_is_left_as_it_is() -> None:
    assert pushrm.fit("# A\n", None, 4) == "# A\n"


def test_long_readme_is_cut_before_a_heading() -> None:
    text = "# A\n\none\n\n## B\n\ntwo\n\nthree\n\n" + "x" * 100
    assert pushrm.fit(text, None, len(END) + 23) == "# A\n\none\n\n## B\n\ntwo" + END
    # The heading is in the first half, so more is kept than what is before it.
    assert pushrm.fit(text, None, len(END) + 16) == "# A\n\none" + END


def test_long_readme_is_cut_between_paragraphs_if_no_heading_is_near() -> None:
    text = "# A\n\n" + "one\n\n" * 50
    assert pushrm.fit(text, None, len(END) + 50) == "# A\n\n" + "one\n\n" * 8 + "one" + END


@pytest.mark.parametrize(
    "block", ["```sh\n# no heading\n\n# none\n```\n", "~~~\n```\n\n# none\n~~~\n", "<!--\n\n# none\n\n-->\n"]
)
def test_nothing_is_cut_inside_of_code_and_comments(block: str) -> None:
    text = "# A\n\none\n\n" + block + "\nend\n" * 50
    assert pushrm.fit(text, None, len(END) + 10 + len(block) - 2) == "# A\n\none" + END


def test_link_leads_to_the_whole() -> None:
    text = pushrm.fit("word " * 100, "https://git.example.org/lab", 200)
    assert text.endswith("the rest is in [the whole README](https://git.example.org/lab).\n")


@given(st.text(alphabet="# \n`~<!->aä€"), st.integers(min_value=len(END), max_value=200))
def test_any_readme_fits(text: str, limit: int) -> None:
    cut = pushrm.fit(text, None, limit)
    assert len(cut.encode()) <= limit
    assert cut == text or (cut.endswith(END) and text.startswith(cut.removesuffix(END)))


@given(st.text(), st.integers(min_value=3, max_value=100))
def test_any_short_description_fits(text: str, limit: int) -> None:
    short = pushrm.shorten(text, limit)
    assert len(short.encode()) <= limit
    assert "\n" not in short


def test_short_description_is_cut_after_a_word() -> None:
    assert pushrm.shorten("one two, three", 100) == "one two, three"
    assert pushrm.shorten("one two, three", 13) == "one two…"
    assert pushrm.shorten("onetwothree", 9) == "onetwo…"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"errors": [{"code": "X", "message": "y"}]}', ": X, y"),
        (b'{"error_message": "y"}', ": y"),
        (b'{"detail": "y"}', ": y"),
        (b'{"errors": []}', ""),
        (b"<html>", ""),
        (b"[1]", ""),
        (b"\xff", ""),
    ],
)
def test_words_of_the_hub_are_passed_on(answer: bytes, said: str) -> None:
    repository = pushrm.repository("h.org/course/lab", "harbor2")
    assert pushrm.refusal(repository, 500, "Internal Server Error", answer) == (
        f"h.org answered 500 Internal Server Error{said}"
    )


def test_readme_that_docker_hub_ignored_is_noticed() -> None:
    hub, quay = pushrm.repository("course/lab", None), pushrm.repository("quay.io/course/lab", None)
    assert pushrm.is_shown(hub, b'{"full_description": "new"}', "new")
    assert not pushrm.is_shown(hub, b'{"full_description": "old"}', "new")
    assert pushrm.is_shown(quay, b'{"success": true}', "new")
