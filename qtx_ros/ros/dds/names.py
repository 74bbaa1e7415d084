"""ROS names: validity, expansion of relative and private names."""

from __future__ import annotations

import re

from qtx_ros.ros.dds.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    InvalidServiceNameException,
    InvalidTopicNameException,
)

TOKEN = r"[A-Za-z_][A-Za-z0-9_]*"
SUBSTITUTIONS = ("node", "ns", "namespace")


def check_node_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidNodeNameException: it holds anything but letters, digits and underscores, or begins with a digit.
    """
    if not re.fullmatch(TOKEN, name):
        reason = "must contain only alphanumerics and '_', and not start with a number"
        raise InvalidNodeNameException(name, reason)
    return name


def check_namespace(namespace: str) -> str:
    """The namespace with its leading slash, `/` for none.

    Raises:
        InvalidNamespaceException: a part of it is not a token.
    """
    absolute = "/" + namespace.strip("/")
    if namespace and namespace != "/" and namespace.endswith("/"):
        raise InvalidNamespaceException(namespace, "must not end with '/'")
    if absolute != "/" and not re.fullmatch(rf"(/{TOKEN})+", absolute):
        raise InvalidNamespaceException(namespace, "tokens must be alphanumerics and '_', and not start with a number")
    return absolute


def expand(name: str, node_name: str, namespace: str, is_service: bool = False) -> str:
    """The full name of a topic or service: `x` → `/ns/x`, `~/x` → `/ns/node/x`, `/x` stays; `{node}`, `{ns}` work.

    Raises:
        InvalidTopicNameException, InvalidServiceNameException: the name breaks ROS 2's rules.
    """
    invalid = InvalidServiceNameException if is_service else InvalidTopicNameException
    base = "" if namespace == "/" else namespace
    for key in re.findall(r"\{([^}]*)\}", name):
        if key not in SUBSTITUTIONS:
            raise invalid(name, f"unknown substitution {{{key}}}")
        name = name.replace(f"{{{key}}}", node_name if key == "node" else base.strip("/"))
    if name == "~" or name.startswith("~/"):
        full = f"{base}/{node_name}{name[1:]}"
    else:
        full = name if name.startswith("/") else f"{base}/{name}"
    if not re.fullmatch(rf"(/{TOKEN})+", full) or "__" in full:
        reason = "expected tokens of alphanumerics and '_' that do not start with a number, separated by single '/'"
        raise invalid(name, reason)
    return full


def fully_qualified(node_name: str, namespace: str) -> str:
    """`/ns/node`."""
    return f"{namespace.rstrip('/')}/{node_name}"
