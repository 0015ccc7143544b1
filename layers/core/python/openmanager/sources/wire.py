"""Protobuf messages as far as we read them, described in a few words: no generated package is imported.

A decoded message takes up to thirty times its size on the wire, so a body of many empty ones could ask for
gigabytes. What repeats is therefore declared as `bytes`, which is the same on the wire, and decoded one at a time.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from openmanager.errors import InvalidInput, PayloadTooLarge

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "int32": _Field.TYPE_INT32,
    "fixed64": _Field.TYPE_FIXED64,
    "sfixed64": _Field.TYPE_SFIXED64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
# message → field → (number, type); a type is a scalar or a message, `X*` repeats, `X?` knows whether it was set.
Layout = dict[str, dict[str, tuple[int, str]]]

# No single repeated message of an honest sender is near this size; it bounds what decoding one can take.
MAX_MESSAGE_BYTES = 2**20


def messages(name: str, layout: Layout) -> dict[str, Any]:
    """The message classes of a layout. Fields that it does not name are skipped when reading."""
    package = f"openmanager.{name}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    for title, fields in layout.items():
        described = file.message_type.add(name=title)
        for field, (number, spelled) in fields.items():
            kind = spelled.rstrip("*?")
            added = described.field.add(
                name=field,
                number=number,
                type=_SCALARS.get(kind, _Field.TYPE_MESSAGE),
                label=_Field.LABEL_REPEATED if spelled.endswith("*") else _Field.LABEL_OPTIONAL,
                type_name=None if kind in _SCALARS else f".{package}.{kind}",
            )
            if spelled.endswith("?"):
                added.proto3_optional = True
                added.oneof_index = len(described.oneof_decl)
                described.oneof_decl.add(name=f"_{field}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        title: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{title}")) for title in layout
    }


def decode(kind: Any, encoded: bytes, place: str, title: str) -> Any:
    """A whole body. Raises InvalidInput if it is damaged or its text is not UTF-8."""
    try:
        return kind.FromString(encoded)
    except message.DecodeError:
        raise InvalidInput(place, f"is not a protobuf {title}") from None


def decode_each(kind: Any, encoded: Sequence[bytes], path: str, title: str) -> Iterator[Any]:
    """Many messages, one at a time; `path` is that of their list. Raises PayloadTooLarge for one beyond reason."""
    for i, one in enumerate(encoded):
        if len(one) > MAX_MESSAGE_BYTES:
            raise PayloadTooLarge(f"{path}[{i}] is over {MAX_MESSAGE_BYTES} bytes; send less at once")
        try:
            yield kind.FromString(one)
        except message.DecodeError:
            raise InvalidInput(f"{path}[{i}]", f"is not a protobuf {title}") from None
