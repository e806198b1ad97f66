"""The hub of test_hub.py, which passes what it has to know as variables."""

import asyncio
import os

from dockerspawner import DockerSpawner
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner

PREFIX = os.environ["HUB_PREFIX"]


class Container(DockerSpawner):
    """DockerSpawner, with further settings in the request for the server."""

    async def start(self):
        for name, value in self.user_options.items():
            setattr(self, name, value)
        return await super().start()


class Pod(KubeSpawner):
    """KubeSpawner, whose pod is given to Docker instead of to Kubernetes."""

    async def start(self):
        for name, value in self.user_options.items():
            setattr(self, name, value)
        pod = ApiClient().sanitize_for_serialization(await self.get_pod_manifest())
        await docker("run", "--detach", f"--name={PREFIX}-{self.user.name}", *as_docker_runs_it(pod["spec"]))
        address = await docker("inspect", "--format={{.NetworkSettings.IPAddress}}", f"{PREFIX}-{self.user.name}")
        return f"http://{address}:{self.port}"

    async def poll(self):
        state = await docker("inspect", "--format={{.State.Running}} {{.State.ExitCode}}", f"{PREFIX}-{self.user.name}")
        running, _, status = state.partition(" ")
        return None if running == "true" else int(status)

    async def stop(self, now=False):
        await docker("stop", f"{PREFIX}-{self.user.name}")


def as_docker_runs_it(spec):
    """Options, image and arguments for `docker run` that mean what a pod means to a kubelet.

    https://kubernetes.io/docs/tasks/configure-pod-container/security-context
    """
    (container,) = spec["containers"]
    context = spec.get("securityContext", {}) | container.get("securityContext", {})
    # Both take the group from the image if there is none here: that of the user, or 0 for one whom it does not know.
    if "runAsUser" in context:
        yield "--user=" + ":".join(str(context[key]) for key in ("runAsUser", "runAsGroup") if key in context)
    if "fsGroup" in context:
        yield f"--group-add={context['fsGroup']}"
    if not context.get("allowPrivilegeEscalation", True):
        yield "--security-opt=no-new-privileges"
    for mount in container["volumeMounts"]:
        # An empty volume, which hides what the image has there and belongs to the fsGroup.
        options = f'type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=gid={context["fsGroup"]},mode=2775"'
        yield f"--mount=type=volume,dst={mount['mountPath']},volume-nocopy,volume-opt={options}"
    for variable in container["env"]:
        yield f"--env={variable['name']}={variable['value']}"
    # `command` would replace the entry point; KubeSpawner sets `args`.
    assert "command" not in container
    yield container["image"]
    yield from container.get("args", ())


async def docker(*arguments):
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=-1, stderr=-1)
    printed, said = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(said.decode())
    return printed.decode().strip()


c = get_config()  # noqa: F821 # JupyterHub reads this file with it
c.JupyterHub.bind_url = os.environ["HUB_ADDRESS"]
c.JupyterHub.hub_bind_url = os.environ["HUB_INNER_ADDRESS"]
c.ConfigurableHTTPProxy.api_url = os.environ["HUB_PROXY_ADDRESS"]
c.ConfigurableHTTPProxy.command = [os.environ["HUB_PROXY"]]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{"name": "tests", "api_token": os.environ["HUB_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens"]},
]
c.JupyterHub.spawner_class = {"docker": Container, "kubernetes": Pod}[os.environ["HUB_SPAWNER"]]
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
c.DockerSpawner.image = c.KubeSpawner.image = os.environ["HUB_IMAGE"]
c.DockerSpawner.prefix = PREFIX
