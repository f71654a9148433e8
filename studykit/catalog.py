"""What can be chosen by name, and how it is written down.

A `Named` class has plain keyword settings. It joins its kind's catalogue by its class line, can be
written as a small dictionary (its *spec*) and read back:

    class Explainer(Named): ...                            # a kind
    class Occlusion(Explainer, name="occlusion"): ...      # one entry of that kind
    build(Explainer, {"name": "occlusion", "window": 8})   # Occlusion(window=8)
"""

import difflib
import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any


class InputError(ValueError):
    """What a person gave cannot be used; the message names the thing and the remedy."""


class Named:
    """A class that can be chosen by name; its keyword parameters with defaults are its settings.

    A direct subclass opens a kind (a catalogue of its own); a subclass of a kind that gives `name`
    joins it. A subclass without a name is a shared base and stays out.
    """

    kind: typing.ClassVar[str]
    catalogue: typing.ClassVar[dict[str, type]]
    name: typing.ClassVar[str]

    def __init_subclass__(cls, name: str | None = None, **rest: Any):
        super().__init_subclass__(**rest)
        if Named in cls.__bases__:
            cls.kind, cls.catalogue = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).lower(), {}
        if name is not None:
            cls.name = name
            cls.catalogue[name] = cls

    def __new__(cls, *args: Any, **settings: Any):
        """Remember the settings given, for `spec`."""
        self = super().__new__(cls)
        if args or settings:
            try:
                bound = inspect.signature(cls).bind(*args, **settings)
            except TypeError:  # __init__ says it better
                return self
            bound.apply_defaults()
            object.__setattr__(self, "_settings", dict(bound.arguments))
        return self


def settings_of(cls: type) -> dict[str, Any]:
    """The settings that `cls` takes, with their defaults."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def spec(thing: Named) -> dict[str, Any]:
    """The dictionary that `build` turns back into an equal thing; ready for JSON."""
    given = getattr(thing, "_settings", {})
    settings = {key: given.get(key, default) for key, default in settings_of(type(thing)).items()}
    return {"name": thing.name, **{key: _plain(value) for key, value in settings.items()}}


def build(kind: type, spec: Mapping[str, Any] | str, *args: Any) -> Any:
    """Make the entry of `kind` that `spec` describes; `args` go before its settings.

    A spec is `{"name": ..., setting: value}` or, where the defaults serve, the name alone.
    Raises InputError, with the nearest names, for an unknown name or setting.
    """
    cls, settings = _settled(kind, spec)
    return cls(*args, **settings)


def completed(kind: type, spec: Mapping[str, Any] | str) -> dict[str, Any]:
    """The spec with every default written out, checked as by `build`, but nothing is made."""
    cls, settings = _settled(kind, spec)
    return {"name": cls.name, **_plain({**settings_of(cls), **settings})}


def configured(cls: type, settings: Mapping[str, Any], what: str) -> Any:
    """`cls(**settings)`, with lists as tuples and specs built where a setting is Named.

    Raises InputError, with the nearest names, for a setting that `cls` does not have; `what` names
    the thing in that sentence.
    """
    return cls(**_checked(cls, settings, what))


def _settled(kind: type, spec: Mapping[str, Any] | str) -> tuple[type, dict[str, Any]]:
    """The class that a spec names, and its settings, checked and built."""
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise InputError(f'A {kind.kind} is written {{"name": ..., settings}}, not {spec!r}.')
    cls = kind.catalogue.get(spec["name"])
    if cls is None:
        raise InputError(unknown(kind.kind, spec["name"], kind.catalogue))
    given = {key: value for key, value in spec.items() if key != "name"}
    return cls, _checked(cls, given, f"{kind.kind} '{cls.name}'")


def _checked(cls: type, settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise InputError(f"The settings of {what} are a JSON object, not {settings!r}.")
    known, hints = settings_of(cls), typing.get_type_hints(cls.__init__)
    ready = {}
    for key, value in settings.items():
        if key not in known:
            raise InputError(unknown(f"setting of {what}", key, known))
        nested = hints.get(key)
        if inspect.isclass(nested) and issubclass(nested, Named) and not isinstance(value, Named):
            value = build(nested, value)
        ready[key] = tuple(value) if isinstance(value, list) else value
        _check_type(what, key, ready[key], known[key])
    return ready


def _check_type(what: str, key: str, value: Any, default: Any) -> None:
    """A setting must be of its default's type (a whole number serves where a fraction is meant)."""
    wanted = type(default)
    fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if wanted is float and type(value) is int:
        fits = True
    if wanted in (bool, int, float, str, tuple) and not fits:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise InputError(f"The setting '{key}' of {what} is {words.get(wanted, 'a list')}, not {value!r}.")


def check_choice(what: str, given: object, known: Iterable[object]) -> None:
    """InputError, with the nearest names, where `given` is none of `known`."""
    if given not in known:
        raise InputError(unknown(what, given, known))


def is_spec(wish: Any) -> bool:
    """Whether a wish is a spec, {"name": ..., settings}, rather than wishes by name."""
    return isinstance(wish, Mapping) and isinstance(wish.get("name"), str)


def unknown(what: str, given: object, known: Iterable[object]) -> str:
    """The sentence for a name that does not exist: what was asked for, the nearest, or all there are."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(given), names, n=3, cutoff=0.5)
    if near:
        return f"There is no {what} named '{given}'; did you mean {' or '.join(near)}?"
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"There is no {what} named '{given}'; there are: {listed or 'none'}."


def _plain(value: Any) -> Any:
    if isinstance(value, Named):
        return spec(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
