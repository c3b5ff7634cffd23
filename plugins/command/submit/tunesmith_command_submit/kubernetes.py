"""A run as a JobSet (jobset.x-k8s.io) with one pod for each machine, and its configuration as a ConfigMap.

The pods learn of one another by the variables that torchrun reads, too (PET_*). A pod that is taken away has time to
save; the set is then started again, and the run goes on from what it saved.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml
from tunesmith import TunesmithError

if TYPE_CHECKING:
    from tunesmith_command_submit.jobs import Job

_PORT = 29_500
_CONFIG = "/etc/tunesmith"
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_ATTEMPT = "metadata.labels['jobset.sigs.k8s.io/restart-attempt']"


def manifest(job: Job) -> str:
    """The file's text: two documents.

    Raises: TunesmithError when no image was named, or the run's folder is in no volume.
    """
    if job.image is None:
        raise TunesmithError("a pod needs an image with Tunesmith in it.\nwrite --image REGISTRY/NAME:TAG")
    if not any(f"{job.output_dir}/".startswith(f"{path.rstrip('/')}/") for _, path in job.volumes):
        mounted = ", ".join(path for _, path in job.volumes) or "none"
        raise TunesmithError(
            f"output_dir={job.output_dir} is in no volume (mounted: {mounted}), and would be lost with its pod.\n"
            "write --volume CLAIM:PATH, and output_dir=PATH/NAME"
        )
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": job.name},
        "data": {"config.yaml": job.config},
    }
    replicated = {"name": "node", "replicas": 1, "template": {"spec": _indexed_job(job)}}
    jobs = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": job.name},
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "failurePolicy": {"maxRestarts": job.restarts},
            "replicatedJobs": [replicated],
        },
    }
    return "# written by tunesmith submit\n" + yaml.safe_dump_all([config, jobs], sort_keys=False, width=120)


def _indexed_job(job: Job) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": job.name}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},  # in which processes of a machine exchange batches
        *({"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": c}} for n, (c, _) in enumerate(job.volumes)),
    ]
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.grace,
        "containers": [_container(job)],
        "volumes": volumes,
    }
    return {
        "parallelism": job.nodes,
        "completions": job.nodes,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {"spec": pod},
    }


def _container(job: Job) -> dict[str, Any]:
    # a shell that is replaced, so that the signal before the end comes to the run
    train = shlex.join(["tunesmith", "train", f"{_CONFIG}/config.yaml", *job.overrides])
    record = shlex.quote(f"{job.output_dir}/run.yaml")
    again = f'if [ "${{RESTART_ATTEMPT:-0}}" -gt 0 ] && [ -f {record} ]; then set -- resume=true overwrite=false; fi'
    mounts = [{"name": "config", "mountPath": _CONFIG}, {"name": "shm", "mountPath": "/dev/shm"}]
    limits = {"nvidia.com/gpu": job.gpus or None, "cpu": job.cpus, "memory": job.memory}
    asked = {name: value for name, value in limits.items() if value is not None}
    return {
        "name": "train",
        "image": job.image,
        "command": ["sh", "-c", f'{again}\nexec {train} "$@"\n'],
        "env": _environment(job),
        **({"envFrom": [{"secretRef": {"name": name}} for name in job.secrets]} if job.secrets else {}),
        **({"resources": {"requests": asked, "limits": asked}} if asked else {}),
        "volumeMounts": [*mounts, *({"name": f"volume-{n}", "mountPath": p} for n, (_, p) in enumerate(job.volumes))],
    }


def _environment(job: Job) -> list[dict[str, Any]]:
    told = {"PET_NNODES": job.nodes, "PET_MASTER_ADDR": f"{job.name}-node-0-0.{job.name}", "PET_MASTER_PORT": _PORT}
    told |= {"PET_NPROC_PER_NODE": job.gpus} if job.gpus else {}
    fields = {"PET_NODE_RANK": _INDEX, "RESTART_ATTEMPT": _ATTEMPT}
    return [
        *({"name": name, "value": str(value)} for name, value in told.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
    ]
