"""Why a registry did not give an image, told by the texts of Docker 20.10 to 28."""

import pytest

from controller.errors import EngineError, PullError
from controller.scheduler.docker_auth import Credentials
from controller.scheduler.docker_registry import checked, pull_error, requested

ANONYMOUS = Credentials("/root/.docker/config.json")
LOGGED_IN = Credentials("/root/.docker/config.json", {"username": "u", "password": "p"})

TEXTS = [
    # Docker 20.10 to 28 with their own image store.
    ("ImageNotFound", "manifest for nginx:1.99 not found: manifest unknown: manifest unknown"),
    ("ImageNotFound", "manifest unknown: manifest unknown"),
    ("ImageNotFound", "repository 127.0.0.1:5000/x not found: name unknown: repository name not known to registry"),
    ("ImageNotFound", "no matching manifest for linux/arm64/v8 in the manifest list entries"),
    ("ImageDenied", "pull access denied for shop, repository does not exist or may require 'docker login': "
                    "denied: requested access to the resource is denied"),
    ("ImageDenied", 'Head "https://ghcr.io/v2/acme/shop/manifests/1": unauthorized'),
    ("ImageDenied", 'Get "https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/shop/manifests/1": no basic auth credentials'),
    ("ImageDenied", "unauthorized: incorrect username or password"),
    ("ImageDenied", "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value"),
    ("ImageDenied", 'Head "https://r.acme.org/v2/shop/manifests/1": received unexpected HTTP status: 403 Forbidden'),
    ("RateLimited", "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
                    "authenticating and upgrading: https://www.docker.com/increase-rate-limit"),
    ("RateLimited", 'error parsing HTTP 429 response body: invalid character \'S\': "Slow down"'),
    ("RegistryUnreachable", 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
                            "10.0.0.2:53: no such host"),
    ("RegistryUnreachable", 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    ("RegistryUnreachable", 'Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for '
                            "connection (Client.Timeout exceeded while awaiting headers)"),
    ("RegistryUnreachable", 'Get "https://registry-1.docker.io/v2/": context deadline exceeded'),
    ("RegistryUnreachable", 'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout'),
    ("RegistryUnreachable", 'Get "https://r.acme.org/v2/": x509: certificate signed by unknown authority'),
    ("RegistryUnreachable", 'Get "https://r.acme.org/v2/": http: server gave HTTP response to HTTPS client'),
    ("RegistryUnreachable", "read tcp 172.17.0.2:48212->104.18.2.3:443: read: connection reset by peer"),
    ("RegistryUnreachable", "short read: expected 5242880 bytes but got 1234567: unexpected EOF"),
    ("RegistryUnreachable", "unexpected EOF"),
    ("RegistryUnreachable", "expected HTTP 206 from byte range request"),
    ("RegistryUnreachable", "received unexpected HTTP status: 502 Bad Gateway"),
    ("RegistryUnreachable", "proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused"),
    ("RegistryUnreachable", 'Get "https://registry-1.docker.io/v2/": Proxy Authentication Required'),
    ("DiskFull", "write /var/lib/docker/tmp/GetImageBlob123: no space left on device"),
    ("DiskFull", "failed to register layer: ApplyLayer exit status 1 stdout:  stderr: write /x: no space left on "
                 "device"),
    ("PullFailed", "invalid reference format: repository name must be lowercase"),
    ("PullFailed", "filesystem layer verification failed for digest sha256:00"),
    # Docker 23 to 28 with the image store of containerd.
    ("ImageNotFound", 'failed to resolve reference "docker.io/library/nginx:1.99": docker.io/library/nginx:1.99: '
                      "not found"),
    ("ImageDenied", 'failed to resolve reference "docker.io/acme/shop:1": pull access denied, repository does not '
                    "exist or may require authorization: server message: insufficient_scope: authorization failed"),
    ("ImageDenied", 'failed to resolve reference "r.acme.org/shop:1": failed to authorize: failed to fetch oauth '
                    "token: unexpected status from GET request to https://r.acme.org/token?service=r: 401 "
                    "Unauthorized"),
    ("RateLimited", "failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/"
                    "v2/library/nginx/blobs/sha256:00: 429 Too Many Requests - Server message: toomanyrequests"),
    ("RegistryUnreachable", 'failed to resolve reference "r.acme.org/shop:1": unexpected status from HEAD request to '
                            "https://r.acme.org/v2/shop/manifests/1: 500 Internal Server Error"),
    ("RegistryUnreachable", 'failed to do request: Head "https://r.acme.org/v2/shop/manifests/1": dial tcp '
                            "10.0.0.9:443: i/o timeout"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "text"), TEXTS)
def test_dockers_text_tells_why(reason: str, text: str) -> None:
    assert pull_error("shop:1", text, ANONYMOUS, 500).reason == reason


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "ImageDenied"), (403, "ImageDenied"), (404, "ImageNotFound"), (500, "PullFailed")]
)
def test_where_the_text_tells_nothing_the_status_does(status: int, reason: str) -> None:
    assert pull_error("shop:1", "it will not do", ANONYMOUS, status).reason == reason


@pytest.mark.parametrize(
    ("image", "text", "reason"),
    [
        ("r.acme.org/denied/eof:toomanyrequests", "manifest for r.acme.org/denied/eof:toomanyrequests not found: "
         "manifest unknown: manifest unknown", "ImageNotFound"),
        ("denied:unauthorized", "manifest for denied:unauthorized not found: manifest unknown", "ImageNotFound"),
        ("denied:1", "pull access denied for denied, repository does not exist or may require 'docker login': denied: "
         "requested access to the resource is denied", "ImageDenied"),
        ("r.acme.org/denied:1", 'Get "https://r.acme.org/v2/denied/manifests/1": EOF', "RegistryUnreachable"),
        ("eof.denied.org/shop:1", 'Head "https://eof.denied.org/v2/shop/manifests/1": manifest unknown',
         "ImageNotFound"),
        ("eof.org/shop:1", "dial tcp: lookup eof.org: it will not do", "PullFailed"),
    ],
)  # fmt: skip
def test_the_name_of_an_image_is_no_reason(image: str, text: str, reason: str) -> None:
    assert pull_error(image, text, ANONYMOUS, 500).reason == reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("toomanyrequests: retry-after: 317.281µs, allowed: 44000/minute", 0.000317281),
        ("toomanyrequests: retry-after: 1m30s, allowed: 44000/minute", 90),
        ("429 Too Many Requests: try again in 5 minutes.", 300),
        ("toomanyrequests: Retry after 60", 60),
        ("toomanyrequests: You have reached your pull rate limit.", None),
        ("toomanyrequests: retry-after: 1.2.3s", None),
    ],
)
def test_a_rate_limit_has_the_wait_that_the_registry_names(text: str, seconds: float | None) -> None:
    error = pull_error("ghcr.io/acme/shop:1", text, ANONYMOUS)
    assert error.reason == "RateLimited"
    assert error.wait == pytest.approx(seconds)


def test_an_image_that_is_denied_is_told_with_the_login_that_is_missing() -> None:
    error = pull_error("ghcr.io/acme/shop:1", "unauthorized", ANONYMOUS)
    assert str(error) == (
        "ghcr.io/acme/shop:1: unauthorized; there are no credentials for ghcr.io in /root/.docker/config.json: "
        "`docker login ghcr.io`"
    )


def test_an_image_that_is_denied_to_those_logged_in_is_told_with_where_the_credentials_are_from() -> None:
    error = pull_error("acme/shop:1", "denied: requested access to the resource is denied", LOGGED_IN)
    assert "credentials for docker.io are from /root/.docker/config.json: `docker login`" in str(error)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("server gave HTTP response to HTTPS client", '"insecure-registries" of /etc/docker/daemon.json: "r.acme.org"'),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/r.acme.org/ca.crt"),
        ("no space left on device", "docker system df"),
        ("toomanyrequests", "docker login r.acme.org"),
    ],
)
def test_what_can_be_done_about_it_is_told(text: str, advice: str) -> None:
    assert advice in str(pull_error("r.acme.org/shop:1", text, ANONYMOUS))


def test_one_trouble_is_one_message_whatever_differs_from_try_to_try() -> None:
    def told(port: int, signature: str) -> str:
        layer = f"https://cdn.acme.org/sha256/00/data?verify={signature}"
        return str(
            pull_error("shop:1", f'Get "{layer}":\n read tcp 10.0.0.2:{port}->10.0.0.9:443: i/o timeout', ANONYMOUS)
        )

    assert told(1, "secret") == told(2, "other")
    assert "secret" not in told(1, "secret")
    assert told(1, "secret") == 'shop:1: Get "https://cdn.acme.org/sha256/00/data": read tcp 10.0.0.9:443: i/o timeout'


def test_an_endless_text_is_cut() -> None:
    assert len(str(pull_error("shop:1", "x" * 5000, ANONYMOUS))) == 600


@pytest.mark.parametrize(
    "reference", ["", "../containers/web", "a/../../b", "a//b", "./a", "a?force=1", "a b", "a\n", "-a"]
)
def test_what_would_lead_elsewhere_in_the_api_is_no_reference(reference: str) -> None:
    with pytest.raises(EngineError, match="is not the name of an image"):
        checked(reference)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("web", "web:latest"),
        ("127.0.0.1:5000/web", "127.0.0.1:5000/web:latest"),
        ("127.0.0.1:5000/web:1", "127.0.0.1:5000/web:1"),
        ("[::1]:5000/web:1", "[::1]:5000/web:1"),
        ("web@sha256:00", "web@sha256:00"),
        ("127.0.0.1:5000/web:1@sha256:00", "127.0.0.1:5000/web@sha256:00"),
    ],
)
def test_docker_is_asked_for_one_tag_or_one_digest(image: str, name: str) -> None:
    assert requested(image) == name


def test_no_registry_is_asked_for_an_id() -> None:
    with pytest.raises(PullError, match="is the id of an image"):
        requested("sha256:" + "0" * 64)
