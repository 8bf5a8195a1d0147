#!/usr/bin/env python3
"""A privileged pod with a privileged container, by the CRI at a socket: what `cri` calls. Messages are runtime.v1's, written field by field."""
import sys

import grpc


def field(number, value):
    """One field of a protobuf message: bytes and text by their length, numbers as varints."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def fields(data):
    """The fields of a message, number by number."""
    at, found = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 2:
            length = number()
            value = data[at : at + length]
            at += length
        else:
            value = number()
        found.setdefault(key >> 3, []).append(value)
    return found


channel = grpc.insecure_channel(f"unix://{sys.argv[1]}")


def call(method, *parts):
    plain = lambda data: data  # noqa: E731
    ask = channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=plain, response_deserializer=plain)
    return fields(ask(message(*parts), timeout=600, wait_for_ready=True))


NODE = 2
namespaces = message((1, NODE))  # the host's network: no CNI is needed
pod_config = message(
    (1, message((1, "pod"), (2, "u1"), (3, "default"), (4, 1))),
    (3, "/tmp/logs"),
    (8, message((1, "system.slice"), (2, message((1, namespaces), (6, 1))))),
)
container_config = message(
    (1, message((1, "c"), (2, 1))),
    (2, message((1, "local.test/busybox:1"))),
    (3, "sleep"),
    (3, "1000"),
    (11, "c.log"),
    (15, message((2, message((2, 1), (3, namespaces))))),
)
pod = call("RunPodSandbox", (1, pod_config))[1][0]
try:
    container = call("CreateContainer", (1, pod), (2, container_config), (3, pod_config))[1][0]
    call("StartContainer", (1, container))
    answer = call("ExecSync", (1, container), (2, "sh"), (2, "-c"), (2, "grep cgroup /proc/mounts; cat /sys/fs/cgroup/cgroup.controllers"), (3, 300))
    print(answer[1][0].decode())
    if answer.get(3, [0])[0] != 0:
        sys.exit(f"not ok: {answer}")
finally:
    call("StopPodSandbox", (1, pod))
    call("RemovePodSandbox", (1, pod))
print("ok: a privileged pod by containerd's CRI")
