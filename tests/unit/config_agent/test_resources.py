"""Networks, volumes, secrets and configs of the file, in the services that name them."""

import resource
from pathlib import Path

import pytest

from controller.config_agent import Config, ConfigError, Position, read_config
from controller.config_agent.includes import MAX_CONTENT
from proto.dockrunner import v1 as pb

WEB = "[services.web]\nimage = 'web'\n"


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "services.toml").write_text(text)
    return read_config(tmp_path / "services.toml")


def problems(tmp_path: Path, text: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    return [(found.line, found.column, found.path, found.message) for found in error.value.problems]


def test_each_service_that_names_a_network_has_its_definition(tmp_path: Path) -> None:
    text = "[services.a]\nnetworks = ['x']\n[services.b]\nnetworks.x.aliases = ['c']\n[networks.x]\ninternal = true\n"
    a, b = load(tmp_path, text).services
    definition = pb.NetworkDefinition(internal=True)
    assert a.spec.networks["x"] == pb.NetworkAttachment(definition=definition)
    assert b.spec.networks["x"] == pb.NetworkAttachment(aliases=["c"], definition=definition)


def test_the_default_network_is_customised_for_services_without_any(tmp_path: Path) -> None:
    text = "[services.a]\n[services.b]\nnetwork_mode = 'none'\n[services.c]\nnetworks = ['x']\n"
    a, b, c = load(tmp_path, f"{text}[networks.x]\n[networks.default]\ninternal = true\n").services
    assert dict(a.spec.networks) == {"default": pb.NetworkAttachment(definition=pb.NetworkDefinition(internal=True))}
    assert not b.spec.networks
    assert [*c.spec.networks] == ["x"]


def test_without_a_definition_the_default_network_and_volumes_stay_as_they_were(tmp_path: Path) -> None:
    (service,) = load(tmp_path, f"{WEB}networks = ['default']\nvolumes = ['data:/d', './x:/x']\n").services
    assert not service.spec.networks["default"].HasField("definition")
    assert not any(mount.HasField("definition") for mount in service.spec.volumes)


def test_a_declared_volume_is_defined_where_it_is_mounted_and_nowhere_else(tmp_path: Path) -> None:
    text = f"{WEB}volumes = ['data:/d', '/data:/e', {{ type = 'tmpfs', target = '/t' }}, 'data-{{slot}}:/f']\n"
    (service,) = load(tmp_path, f"{text}[volumes.data]\nexternal = true\n[volumes.'data-{{slot}}']\n").services
    found = [mount.definition if mount.HasField("definition") else None for mount in service.spec.volumes]
    assert found == [pb.VolumeDefinition(external=True), None, None, pb.VolumeDefinition()]


def test_what_is_declared_in_one_file_of_a_folder_is_named_in_another(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.toml").write_text("[services.a]\nnetworks = ['x']\nsecrets = ['s']\n")
    (tmp_path / "sub/b.toml").write_text("[networks.x]\nname = 'y'\n[secrets.s]\nfile = '../s.txt'\n")
    (tmp_path / "s.txt").write_text("hush")
    (service,) = read_config(tmp_path / "sub").services
    assert service.spec.networks["x"].definition.name == "y"
    assert service.spec.secrets[0].content == b"hush"


def test_contents_come_from_files_variables_and_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t\udcff")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "f").write_bytes(b"\x00\xff")
    text = f"{WEB}secrets = ['a', 'b', 'h']\nconfigs = ['c', 'd']\n"
    text += "[secrets]\na.file = './f'\nb.environment = 'TOKEN'\nh.file = '~/f'\n"
    (service,) = load(tmp_path, f"{text}[configs]\nc.content = '''\nx\n'''\nd.file = '{tmp_path}/f'\n").services
    assert [secret.content for secret in service.spec.secrets] == [b"\x00\xff", b"t\xff", b"\x00\xff"]
    assert [config.content for config in service.spec.configs] == [b"x\n", b"\x00\xff"]


def test_a_secret_that_the_server_has_need_not_be_declared(tmp_path: Path) -> None:
    (service,) = load(tmp_path, f"{WEB}secrets = [{{ source = 's', version = 'v1' }}]\n").services
    assert list(service.spec.secrets) == [pb.Secret(source="s", version="v1")]


@pytest.mark.parametrize(
    ("line", "column", "path", "message"),
    [
        ("networks = ['frnt']", 13, "networks[0]", "there is no network frnt; did you mean `front`?"),
        ("networks.frnt.aliases = ['a']", 10, "networks.frnt", "there is no network frnt; did you mean `front`?"),
        ("networks = ['x']", 13, "networks[0]", "there is no network x; declare it as [networks.x]"),
        ("secrets = ['kye']", 12, "secrets[0]", "there is no secret kye; did you mean `key`?"),
        ("secrets = [{ source = 'x' }]", 12, "secrets[0]", "there is no secret x; declare it as [secrets.x]"),
        ("configs = ['a b']", 12, "configs[0]", 'there is no config "a b"; declare it as [configs."a b"]'),
    ],
)
def test_what_is_not_declared_is_said_where_it_is_named(
    tmp_path: Path, line: str, column: int, path: str, message: str
) -> None:
    declared = "[networks.front]\n[secrets.key]\nfile = 'x'\n"
    assert problems(tmp_path, f"[services.web]\n{line}\n{declared}") == [(2, column, f"services.web.{path}", message)]


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message"),
    [
        ("[networks.x]\ninternl = 1", 3, 1, "networks.x.internl", "unknown key `internl`; did you mean `internal`?"),
        ("[networks.x.ipam]\nconfig = {}", 3, 1, "networks.x.ipam.config", "expected a list, got a table"),
        ("[volumes]\nx = 'y'", 3, 1, "volumes.x", "expected a table, got a string"),
        ("[[secrets]]", 2, 3, "secrets", "expected a table, got a list"),
        ("[secrets.x]\ncontent = 'hush'", 3, 1, "secrets.x.content",
         "unknown key `content`; known here: environment, file"),
        ("[configs.x]", 2, 10, "configs.x", "needs one of file, environment, content"),
        ("[configs.x]\nfile = 'a'\ncontent = 'b'", 2, 10, "configs.x",
         "needs one of file, environment, content, and has 2"),
        ("[secrets.x]\nfile = 5", 3, 1, "secrets.x.file", "expected a string, got a whole number"),
        ("[secrets.x]\nexternal = true", 3, 1, "secrets.x.external",
         "is not supported for secrets: name its content by file or environment"),
    ],
)  # fmt: skip
def test_a_resource_that_is_wrong_is_said_though_nobody_uses_it(
    tmp_path: Path, text: str, line: int, column: int, path: str, message: str
) -> None:
    found = problems(tmp_path, f"[services.web]\n{text}\n")
    assert (line, column, path, message) in found
    assert "hush" not in str(found)


def test_one_that_nobody_uses_is_not_read(tmp_path: Path) -> None:
    config = load(tmp_path, f"{WEB}[secrets.x]\nfile = 'gone'\n[networks.y]\n[volumes.z]\n[configs.c]\ncontent = ''\n")
    assert config.services == [pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image="web"))]
    assert not config.included


def test_a_content_that_cannot_be_read_is_said_once_where_it_is_declared(tmp_path: Path) -> None:
    text = "[services.a]\nsecrets = ['x', 'y', 'z']\n[services.b]\nsecrets = ['x']\n"
    text += "[secrets]\nx.file = 'gone'\ny.environment = 'NO_SUCH'\nz.file = 'large'\n"
    (tmp_path / "large").write_bytes(b"hush" * (MAX_CONTENT // 4) + b"x")
    assert problems(tmp_path, text) == [
        (6, 3, "secrets.x.file", f'"{tmp_path}/gone" cannot be read: No such file or directory'),
        (7, 3, "secrets.y.environment", "there is no variable NO_SUCH in the environment of this program"),
        (8, 3, "secrets.z.file", f'"{tmp_path}/large" larger than 500 KiB'),
    ]


def test_a_resource_of_two_files_is_refused_naming_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[networks.x]\n")
    (tmp_path / "b.toml").write_text("[networks.x]\n")
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/b.toml:1:11: networks.x: is declared a second time; the first is at {tmp_path}/a.toml:1:11"
    )


def test_all_files_that_are_looked_for_are_known_whether_the_configuration_can_be_used_or_not(tmp_path: Path) -> None:
    text = f"{WEB}env_file = [{{ path = 'a.env', required = false }}, 'b.env']\nsecrets = ['s']\nconfigs = ['c']\n"
    text += "[secrets.s]\nfile = './s'\n[configs.c]\nfile = '../c'\n"
    wanted = {str(tmp_path / "a.env"), str(tmp_path / "b.env"), str(tmp_path / "s"), str(tmp_path.parent / "c")}
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert error.value.included == wanted
    for file in wanted:
        Path(file).touch()
    assert load(tmp_path, text).included == wanted


def test_where_a_file_is_no_toml_nothing_is_called_undeclared(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[services.a]\nnetworks = ['x']\n")
    (tmp_path / "b.toml").write_text("[networks.x\n")
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path)
    assert [Path(found.file).name for found in error.value.problems] == ["b.toml"]


def test_a_set_larger_than_a_message_may_be_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * MAX_CONTENT)
    text = "".join(f"[services.s{number}]\nsecrets = ['x']\n" for number in range(2000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match="secrets and configs take more than 4032 KiB: make some smaller"):
        load(tmp_path, f"{text}[secrets.x]\nfile = 'f'\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB, where all of it has a million"


@pytest.mark.parametrize(
    ("field", "line", "column", "path"),
    [
        ("services[0].spec.networks.x.definition.ipam.config[0].subnet", 6, 1, "networks.x.ipam.config[0].subnet"),
        ("services[0].spec.networks.x.definition", 4, 11, "networks.x"),
        ("services[0].spec.networks.x", 2, 13, "services.web.networks[0]"),
        ("services[0].spec.volumes[0].definition.driver", 8, 1, "volumes.v.driver"),
        ("services[0].spec.volumes[0].source", 3, 12, "services.web.volumes[0].source"),
    ],
)
def test_what_the_server_has_against_a_resource_is_found_where_it_is_declared(
    tmp_path: Path, field: str, line: int, column: int, path: str
) -> None:
    text = (
        "[services.web]\nnetworks = ['x']\nvolumes = ['v:/v']\n"
        "[networks.x]\n[[networks.x.ipam.config]]\nsubnet = 'y'\n[volumes.v]\ndriver = 'z'\n"
    )
    found = load(tmp_path, text).position(field)
    assert found == Position(str(tmp_path / "services.toml"), line, column, path)


def test_what_the_server_has_against_a_content_is_found_where_it_is_declared(tmp_path: Path) -> None:
    config = load(tmp_path, f"{WEB}configs = ['c']\n[configs.c]\ncontent = 'x'\n")
    assert config.position("services[0].spec.configs[0].content") == Position(
        str(tmp_path / "services.toml"), 4, 10, "configs.c"
    )
