"""The same iterations on a device's arrays: a stand-in for CuPy's, and a GPU where there is one."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy import fft

from decon3d.classical import device
from decon3d.classical.device import Device
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.photons import PhotonScale
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.classical.slabs import Slabs
from decon3d.errors import UserError
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.restorers import State, claim_device, open_restorer
from decon3d.settings import may_use_gpu
from support.deconvolution import PSF, boxes, prepared

RECIPE = Recipe(background=10.0, initial=5.0, voxel_size_um=PSF.voxel_size_um)
RECIPES = {
    "RL": Recipe(**{**vars(RECIPE), "acceleration": "none"}),
    "heavy ball": RECIPE,
    "RLTV": Recipe(**{**vars(RECIPE), "tv_weight": 0.003}),
    "RL roughness": Recipe(**{**vars(RECIPE), "roughness_weight": 0.1}),
    "RLGC": Recipe(
        **{**vars(RECIPE), "photons": PhotonScale(0.0, 1.0, "config"), "tv_weight": 0.003}
    ),
    "Wiener-Butterworth": Recipe(
        **{**vars(RECIPE), "acceleration": "none", "back_projector": "wiener_butterworth"}
    ),
}
# As CuPy 14 has them: no `where` anywhere, no `subok`, no keyword `min` or `max` in clip.
FUNCTIONS = {
    np.clip: {"out"},
    np.copyto: {"casting"},
    np.empty_like: {"dtype"},
    np.full_like: {"dtype"},
    np.mean: {"axis", "dtype", "out", "keepdims"},
    np.roll: {"axis"},
    np.where: set(),
}
UFUNC_OPTIONS = {"out", "dtype", "casting"}


def own(value):
    """What the stand-in takes beside its own arrays: single numbers, never NumPy's arrays."""
    if isinstance(value, Foreign):
        return value.hidden
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(own(v) for v in value)
    return value


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that NumPy cannot read: answers NumPy's ufuncs and functions by dispatch.

    Stricter than CuPy's, which let single values be read; here that would be a wait in the loop.
    """

    __array_priority__ = 100

    def __init__(self, hidden, base=None):
        assert isinstance(hidden, np.ndarray | np.generic)
        self.hidden, self.base = np.asarray(hidden), base

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__":
            return NotImplemented
        if unknown := set(options) - UFUNC_OPTIONS:
            raise TypeError(f"Wrong arguments {unknown}")
        out = options.pop("out", (None,))[0]
        if out is None:
            return Foreign(ufunc(*own(inputs), **options))
        if not isinstance(out, Foreign):
            raise TypeError("return arrays must be of ArrayType")
        ufunc(*own(inputs), out=out.hidden, **options)
        return out

    def __array_function__(self, func, types, args, options):
        if func not in FUNCTIONS or not all(issubclass(t, Foreign) for t in types):
            return NotImplemented
        if unknown := set(options) - FUNCTIONS[func]:
            raise TypeError(f"{func.__name__}() got an unexpected keyword argument {unknown}")
        result = func(*own(args), **{k: own(v) for k, v in options.items()})
        if "out" in options:
            return options["out"]
        return result if result is None else Foreign(result)

    def __array__(self, *args, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def _read(self, *args):
        raise AssertionError("a single value was read")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __iter__ = item = tolist = _read

    def __getitem__(self, key):
        view = self.hidden[own(key)]
        return Foreign(view, self if view.base is not None else None)

    def __setitem__(self, key, value):
        self.hidden[own(key)] = own(value)

    def __len__(self):
        return len(self.hidden)

    def copy(self):
        return Foreign(self.hidden.copy())

    def conj(self):
        return Foreign(self.hidden.conj())

    shape = property(lambda self: self.hidden.shape)
    ndim = property(lambda self: self.hidden.ndim)
    size = property(lambda self: self.hidden.size)
    dtype = property(lambda self: self.hidden.dtype)
    nbytes = property(lambda self: self.hidden.nbytes)


class Xp:
    """The part of CuPy's namespace that makes and moves arrays; counts what is moved."""

    def __init__(self):
        self.moved = []

    def asarray(self, array):
        assert isinstance(array, np.ndarray)
        self.moved.append(("put", array.shape))
        return Foreign(array.copy())

    def asnumpy(self, array):
        self.moved.append(("get", array.shape))
        return array.hidden.copy()

    def _make(self, make):
        return lambda shape, dtype: Foreign(make(shape, dtype))

    empty = property(lambda self: self._make(np.empty))
    zeros = property(lambda self: self._make(np.zeros))
    ones = property(lambda self: self._make(np.ones))


def transform(function):
    """A transform as in cupyx.scipy.fft: no `workers`; a float32 array stays in single."""

    def call(x, n=None, axis=-1, norm=None, overwrite_x=False):
        assert x.dtype in (np.float32, np.complex64)
        return Foreign(function(x.hidden, n=n, axis=axis, norm=norm))

    return call


def stand_in() -> Device:
    transforms = {f: transform(getattr(fft, f)) for f in ("fft", "ifft", "rfft", "irfft")}
    own_fft = SimpleNamespace(
        **transforms,
        next_fast_len=lambda target, real=False: fft.next_fast_len(target, real=real),
        rfftn=lambda x: Foreign(fft.rfftn(x.hidden)),
    )
    return Device("stand-in", Xp(), own_fft)


def saturated_boxes():
    image, _, _ = boxes(shape=(12, 24, 26))
    image = np.minimum(image, 60).astype(np.uint16)
    image[3:6, 5:9, 5:9] = 65535
    return image


@pytest.mark.parametrize("name", RECIPES)
def test_a_device_gives_the_cpu_s_numbers(name):
    image, there = saturated_boxes(), stand_in()
    runs = [Run(RECIPES[name], (1, 6))]
    expected = Estimator(runs, psf=PSF.data, threads=1)(image)
    got = Estimator(runs, psf=PSF.data, threads=2, device=there)(image)
    # A total variation's unit vectors flip by rounding where the estimate is flat.
    close = np.abs(got - expected) <= 1e-4 * expected.max()
    assert close.mean() > (0.999 if RECIPES[name].tv_weight else 1 - 1e-9)
    assert np.isfinite(got).all() and got.std() > 1


@pytest.mark.parametrize("name", RECIPES)
def test_voxels_without_data_are_left_out_there_too(name):
    image = boxes(shape=(12, 24, 26))[0]
    image[:, :, 20:] = np.nan
    run = [Run(RECIPES[name], (3,))]
    expected = Estimator(run, psf=PSF.data, threads=1)(image)
    got = Estimator(run, psf=PSF.data, threads=1, device=stand_in())(image)
    assert np.mean(np.abs(got - expected) <= 1e-4 * expected.max()) > 0.999


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_is_moved_while_it_iterates(name):
    there = stand_in()
    model = RECIPES[name].model((12, 24, 26), psf=PSF.data, threads=1, device=there)
    steps = RECIPES[name].iterate(saturated_boxes(), model=model)
    assert isinstance(next(steps)[1], Foreign)
    before = list(there.xp.moved)
    for _ in range(3):
        next(steps)
    assert there.xp.moved == before


def test_a_whole_run_comes_back_as_numpy():
    image, there = saturated_boxes(), stand_in()
    model = RECIPE.model(image.shape, psf=PSF.data, threads=1, device=there)
    got = richardson_lucy(image, model=model, background=10.0, initial=5.0, iterations=2)
    assert isinstance(got, np.ndarray) and got.shape == image.shape


def test_the_stand_in_refuses_what_cupy_refuses():
    x, host = Foreign(np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32)
    for mistake in (
        lambda: np.maximum(x, 1, out=x, where=x > 0),
        lambda: np.mean(x, where=x > 0),
        lambda: x + host,
        lambda: host + x,
        lambda: np.add(x, x, out=host),
        lambda: np.where(x > 0, x, host),
        lambda: np.asarray(x),
        lambda: np.pad(x, 1),
        lambda: np.add.reduce(x),
        lambda: x.__setitem__(0, host[0]),
        lambda: fft.rfft(x),
    ):
        with pytest.raises(TypeError):
            mistake()
    for reading in (lambda: float(x[0, 0]), lambda: bool((x > 0)[0, 0]), lambda: list(x)):
        with pytest.raises(AssertionError, match="single value"):
            reading()


def test_a_device_gets_one_slab():
    seen = []
    Slabs(whole=True).run(seen.append, length=7, item_bytes=2**30)
    assert seen == [slice(0, 7)]


@pytest.mark.parametrize(
    "method",
    [Rl(kind="rl", device="gpu"), Rltv(kind="rltv", iterations=4, tv_weight=0.003, device="gpu")],
)
def test_the_config_sends_a_method_to_the_gpu(method, monkeypatch, tmp_path):
    assert may_use_gpu(method) and not may_use_gpu(Rl(kind="rl"))
    image, there = saturated_boxes(), stand_in()
    prepared(method, image).save(tmp_path / "state.json")
    state = State.load(tmp_path / "state.json")
    cpu = prepared(method.model_copy(update={"device": "cpu"}), image)
    assert state.bytes_per_voxel > cpu.bytes_per_voxel and "device" not in cpu.values
    assert claim_device(cpu, gpus=0, threads=1) == "cpu"
    monkeypatch.setattr(device, "gpu", lambda: there)
    assert claim_device(state, gpus=1, threads=1) == "stand-in"
    expected = restore_array(image, open_restorer(cpu, threads=1), cpu)
    got = restore_array(image, open_restorer(state, threads=1), state)
    assert ("get", image.shape) in there.xp.moved
    assert np.percentile(np.abs(got - expected), 99.9) < 1e-4 * expected.max()

    def full(shape, dtype):
        raise MemoryError("out of memory")

    monkeypatch.setattr(Xp, "empty", property(lambda self: full))
    with pytest.raises(UserError, match="not even small blocks fit"):
        restore_array(image, open_restorer(state, threads=1), state)


def cupy_like(properties):
    """Modules with what `gpu` asks of CuPy."""
    runtime = SimpleNamespace(getDeviceProperties=properties)
    cupy = ModuleType("cupy")
    cupy.cuda, cupy.__version__ = SimpleNamespace(runtime=runtime), "14.2.0"
    plans = SimpleNamespace(set_size=lambda size: None)
    cupy.fft = SimpleNamespace(config=SimpleNamespace(get_plan_cache=lambda: plans))
    names = ("cupyx", "cupyx.scipy", "cupyx.scipy.fft")
    modules = {"cupy": cupy, **{name: ModuleType(name) for name in names}}
    modules["cupyx.scipy"].fft = modules["cupyx.scipy.fft"]
    return modules


def test_a_gpu_is_found_or_the_job_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UserError, match="needs CuPy"):
        device.gpu()

    def none(index):
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    for name, module in cupy_like(none).items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(UserError, match=r"finds no GPU .*cudaErrorNoDevice"):
        device.gpu()
    for name, module in cupy_like(lambda index: {"name": b"NVIDIA Test"}).items():
        monkeypatch.setitem(sys.modules, name, module)
    found = device.gpu()
    assert found.name == "NVIDIA Test" and not found.is_host
    assert found.xp is sys.modules["cupy"] and found.fft is sys.modules["cupyx.scipy.fft"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_real_gpu_gives_the_cpu_s_numbers(name):
    pytest.importorskip("cupy")
    try:
        there = device.gpu()
    except UserError as error:
        pytest.skip(str(error))
    image, runs = saturated_boxes(), [Run(RECIPES[name], (1, 6))]
    expected = Estimator(runs, psf=PSF.data, threads=1)(image)
    got = Estimator(runs, psf=PSF.data, threads=1, device=there)(image)
    assert np.percentile(np.abs(got - expected), 99.5) < 1e-3 * expected.max()
