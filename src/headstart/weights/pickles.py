"""Pickles read as data. Nothing that a pickle names is imported or called.

A pickle is a program: it may name any function of any module and call it. Here names stay names. The few functions
that rebuild tensors and arrays are replaced by ours; objects of classes become `Stub`s; a pickle that calls any other
function, or names a part of Python that weights do not need, is refused with that name.

Formats: one pickle (protocols 0 to 5, also Python 2's), and torch.save's layout before 1.6, where the values follow
the pickles. torch.save's zip archives use the same machine; see `containers`.
"""

from __future__ import annotations

import io
import pickle
import reprlib
import struct
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from headstart.weights import rebuilding
from headstart.weights.rebuilding import Global, Refused, storage_facts
from headstart.weights.stored import DTYPES, Storage, StoredArray, Stub

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_LIBRARY = frozenset(
    (
        "__builtin__",
        "copy_reg",
        "commands",
        "cPickle",
        "cStringIO",
        "StringIO",
        "exceptions",
        "popen2",
        "urllib2",
        "Queue",
        "thread",
        "httplib",
        "ConfigParser",
    )
)
_PLAIN_OBJECTS = frozenset(
    (
        "argparse.Namespace",
        "builtins.object",
        "builtins.set",
        "builtins.frozenset",
        "builtins.slice",
        "builtins.range",
        "builtins.complex",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.int",
        "builtins.float",
        "builtins.str",
        "builtins.bool",
        "builtins.list",
        "builtins.dict",
        "builtins.tuple",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "functools.partial",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        "random.Random",
        "types.SimpleNamespace",
        "uuid.UUID",
    )
)
"""Classes of the standard library that may stand in a checkpoint, as stand-ins. All else of it is refused."""

_QUIET_FUNCTIONS = frozenset(
    (
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__bit_generator_ctor",
        "torch.device",
    )
)
"""Lower-case names that make plain objects (states of random generators); they become stand-ins, too."""


class RestrictedUnpickler(pickle._Unpickler):
    """Python's own machine in Python, with every way to reach or call an object replaced."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, source: io.BufferedIOBase | Bounded, storage: Callable[[Any], Any] | None = None) -> None:
        super().__init__(source, encoding="latin1", fix_imports=False)
        self._storage = storage
        self.stubs: set[str] = set()
        """Names of the classes that stand-ins were made for."""

    def find_class(self, module: str, name: str) -> Global:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        reference = Global(module, name)
        of_python = module.partition(".")[0] in sys.stdlib_module_names | _OLD_LIBRARY
        if of_python and str(reference) not in _PLAIN_OBJECTS and str(reference) not in _REBUILD:
            raise Refused(str(reference), "a part of Python that weights do not need")
        return reference

    def get_extension(self, code: int) -> None:
        raise Refused(f"extension {code}", "a name that only the program that wrote the file knows")

    def persistent_load(self, pid: Any) -> Any:
        if self._storage is None:
            raise pickle.UnpicklingError("a reference to something outside the pickle")
        return self._storage(pid)

    def call(self, wanted: Any, args: Any) -> Any:
        """What the pickle gets for `wanted(*args)`."""
        if not isinstance(wanted, Global) or not isinstance(args, tuple):
            raise pickle.UnpicklingError("a call of something that is no function")
        rebuild = _REBUILD.get(str(wanted))
        if rebuild is not None:
            return rebuild(self, *args)
        last = wanted.name.rpartition(".")[2]
        if not last[:1].isupper() and str(wanted) not in _PLAIN_OBJECTS | _QUIET_FUNCTIONS:
            raise Refused(str(wanted), "a function that would have to be called")
        return self._stub(wanted, args)

    def _stub(self, kind: Any, args: tuple[Any, ...] = ()) -> Any:
        if not isinstance(kind, Global):
            raise pickle.UnpicklingError("an object of something that is no class")
        if str(kind) == "collections.OrderedDict":
            return {}
        if str(kind) == "torch.Size":
            return tuple(args[0]) if args else ()
        if str(kind) in ("builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple"):
            return list(args[0]) if args and isinstance(args[0], list | tuple) else []
        self.stubs.add(str(kind))
        return Stub(str(kind), args)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._stub(self.stack[-1], tuple(args))

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_newobj()

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(self.call(klass, tuple(args)))

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, rebuilding.NumpyArray | rebuilding.NumpyDtype):
            target.set_state(state)
        elif isinstance(target, Stub):
            for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                if isinstance(part, dict):
                    target.state.update(part)
        elif not isinstance(target, dict | StoredArray):  # attributes of dictionaries (`_metadata`) are not needed
            raise pickle.UnpicklingError("a state for something that has none")

    def load_appends(self) -> None:
        values = self.pop_mark()
        self._list(self.stack[-1]).extend(values)

    def load_append(self) -> None:
        value = self.stack.pop()
        self._list(self.stack[-1]).append(value)

    def load_additems(self) -> None:
        self.load_appends()

    def load_empty_set(self) -> None:
        self.append([])

    def load_frozenset(self) -> None:
        self.append(list(self.pop_mark()))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._dict(self.stack[-1])[_key(key)] = value

    def load_setitems(self) -> None:
        pairs = self.pop_mark()
        target = self._dict(self.stack[-1])
        for i in range(0, len(pairs) - 1, 2):
            target[_key(pairs[i])] = pairs[i + 1]

    def load_dict(self) -> None:
        pairs = self.pop_mark()
        self.append({_key(pairs[i]): pairs[i + 1] for i in range(0, len(pairs) - 1, 2)})

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    def load_next_buffer(self) -> None:
        raise pickle.UnpicklingError("values that are kept outside the file")

    @staticmethod
    def _list(target: Any) -> list[Any]:
        entries = target.values if isinstance(target, Stub) else target
        if not isinstance(entries, list):
            raise pickle.UnpicklingError("entries for something that is no list")
        return entries

    @staticmethod
    def _dict(target: Any) -> dict[Any, Any]:
        entries = target.items if isinstance(target, Stub) else target
        if not isinstance(entries, dict):
            raise pickle.UnpicklingError("entries for something that is no dictionary")
        return entries

    for _op, _method in (
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_newobj),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.APPENDS, load_appends),
        (pickle.APPEND, load_append),
        (pickle.ADDITEMS, load_additems),
        (pickle.EMPTY_SET, load_empty_set),
        (pickle.FROZENSET, load_frozenset),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        (pickle.BYTEARRAY8, load_bytearray8),
        (pickle.NEXT_BUFFER, load_next_buffer),
    ):
        dispatch[_op[0]] = _method
    del _op, _method


SIMPLE = (str, int, float, bool, bytes, type(None))


def _key(key: Any) -> Any:
    """Keys are words, numbers or tuples of them; whatever else is written as text, in short: it may hold itself many
    times over."""
    if all(isinstance(part, SIMPLE) for part in (key if isinstance(key, tuple) else (key,))):
        return key
    return reprlib.repr(key)[:100]


def _reconstructor(machine: RestrictedUnpickler, kind: Any, base: Any = None, state: Any = None) -> Any:
    return machine._stub(kind, () if state is None else (state,))


def _newobj(machine: RestrictedUnpickler, kind: Any, *args: Any) -> Any:
    return machine._stub(kind, args)


def _typed(machine: RestrictedUnpickler, function: Any, kind: Any, args: Any, state: Any) -> Any:
    return machine.call(function, args)


def _nested(_: Any, raw: Any) -> Storage:
    """A storage pickled by itself: `torch.save` inside a pickle."""
    content, _stubs = read_pickles(bytes(raw))
    if not isinstance(content, Storage):
        raise pickle.UnpicklingError("a tensor's values that are none")
    return content


def _ordered(_: Any, pairs: Any = ()) -> dict[Any, Any]:
    return {_key(pair[0]): pair[1] for pair in pairs}


_REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuilding.tensor,
    "torch._utils._rebuild_tensor_v2": rebuilding.tensor,
    "torch._utils._rebuild_tensor_v3": rebuilding.tensor_v3,
    "torch._utils._rebuild_parameter": lambda _, data, *rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda _, data, *rest: data,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch.nn.parameter.Parameter": lambda _, data=None, *rest: data,
    "torch.storage._load_from_bytes": _nested,
    "numpy.dtype": lambda _, code, *rest: rebuilding.NumpyDtype(code),
    "_codecs.encode": rebuilding.encode,
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _newobj,
    "collections.OrderedDict": _ordered,
    **{f"numpy.{core}.multiarray._reconstruct": lambda _, *rest: rebuilding.NumpyArray() for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": rebuilding.scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": rebuilding.frombuffer for core in ("core", "_core")},
}
"""What stands in for the functions that rebuild tensors and arrays; first argument: the machine."""


class Bounded:
    """A file that never hands out, nor makes room for, more bytes than it has."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data, self.at = memoryview(data), 0

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > len(self.data) - self.at:
            raise EOFError(f"{count:,} bytes are announced and {len(self.data) - self.at:,} are left")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def readinto(self, target: bytearray) -> int:
        target[:] = self.read(len(target))
        return len(target)

    def readline(self) -> bytes:
        end = self.at
        while end < len(self.data) and self.data[end] != 0x0A:
            end += 1
        if end == len(self.data):
            raise EOFError("a line without an end")
        line = bytes(self.data[self.at : end + 1])
        self.at = end + 1
        return line


def read_pickles(data: bytes | memoryview) -> tuple[Any, set[str]]:
    """(content, names of classes that stand-ins were made for) of one pickle or of torch.save's old layout.

    Raises Refused, and whatever a damaged pickle provokes: EOFError, UnpicklingError, ValueError, IndexError, ..
    """
    source = Bounded(data)
    first = RestrictedUnpickler(source)
    content = first.load()
    if content != TORCH_MAGIC or isinstance(content, bool):
        return content, first.stubs
    RestrictedUnpickler(source).load()  # the version
    RestrictedUnpickler(source).load()  # byte order and sizes of the machine
    storages: dict[str, Storage] = {}
    places: dict[str, memoryview] = {}

    def storage(pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            return pid[1]  # a class, with its source code, which is left unread
        dtype, key, numel = storage_facts(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise Refused("a view of a storage", "torch.save's layout before 0.4")
        if key not in storages:
            storages[key] = Storage(dtype, numel, lambda: places[key])
        return storages[key]

    machine = RestrictedUnpickler(source, storage)
    content = machine.load()
    for key in RestrictedUnpickler(source).load():
        (numel,) = struct.unpack("<q", source.read(8))
        wanted = storages.get(str(key))
        if wanted is None or numel != wanted.numel:
            raise pickle.UnpicklingError("values that nothing in the file refers to")
        size = numel * DTYPES[wanted.dtype]
        if size > len(source.data) - source.at:
            raise EOFError(f"the values of storage {key} are cut short")
        places[str(key)] = source.data[source.at : source.at + size]
        source.at += size
    if missing := set(storages) - set(places):
        raise EOFError(f"{len(missing)} storages have no values")
    return content, machine.stubs
