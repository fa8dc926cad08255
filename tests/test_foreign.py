"""The kit on other people's dropouts: silent on right ones, in plain words on wrong ones."""

import json
import time

import pytest
from mutants import MUTANTS, backward, made, right

import puredrop
from puredrop import Key, conformance, streams
from puredrop.conformance import CASES, FOREIGN_CHECKS
from puredrop.conformance.foreign.adapt.own import own_target
from puredrop.conformance.foreign.check import BROKEN
from puredrop.conformance.foreign.masks import decoder_of

STATISTICAL = {"rate", "small rates", "rows", "columns", "neighbours", "shards", "calls"}


def clean(report):
    """Nothing found, and nothing that the kit could not cope with."""
    assert report.findings == [], str(report)
    assert [r for r in report.results if r.reason and BROKEN in r.reason] == []
    return report


def test_a_right_function_has_no_findings():
    report = clean(conformance.check(right))
    assert report.passed
    assert report.masks == "recovered"
    assert report.target == "right" or report.target.endswith(".right")
    assert {r.check for r in report.results} == set(FOREIGN_CHECKS)


def test_a_right_pair_of_kernels_has_no_findings():
    report = clean(conformance.check((right, backward)))
    statuses = {r.check: r.status for r in report.results}
    assert {statuses[check] for check in ("gradient", "gradient mask", "nonfinite gradient")} == {"passed"}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_found_by_a_check_that_names_its_fault(name):
    mutant, check, words = MUTANTS[name]
    named = {finding.check: finding for finding in conformance.check(mutant, only=[check]).findings}
    assert words in named[check].sentence
    assert named[check].input
    assert named[check].expected != named[check].got


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("variant", CASES)
def test_puredrop_has_no_findings(variant, backend):
    """Each variant returns its mask; the statistics, which cost most, have a test of their own."""
    if backend not in puredrop.backends.available():
        pytest.skip(f"the backend {backend} is not installed")
    clean(conformance.check(own_target(CASES[variant], backend), variant, only=[*set(FOREIGN_CHECKS) - STATISTICAL]))


@pytest.mark.parametrize("variant", ["dropout", "alpha_dropout", "dropout2d", "zoneout", "gaussian_dropout"])
def test_masks_are_recovered_where_they_are_not_returned(variant):
    report = clean(conformance.check(own_target(CASES[variant], "numpy", return_mask=False), variant, only=["values"]))
    assert report.masks in ("recovered", "injected")
    assert decoder_of(CASES[variant]) is not None


def test_the_smallest_failing_call_is_shown():
    [finding] = conformance.check(made(scale=lambda p: 1), only=["scale"]).findings
    assert finding.call.inputs[0].shape == (1, 1)
    assert finding.input == 'x = np.array([[1.]], "float32"), p = 0.1, seed = 1'
    assert (finding.expected, finding.got) == ("[[1.111111]]", "[[1.]]")
    assert finding.sentence == "at p = 0.1 what is kept is 0.9 times what it must be: it is not scaled by 1 / (1 - p)"


def test_a_report_as_text_and_as_json():
    report = conformance.check(made(scale=lambda p: 1), only=["scale", "layout"])
    assert str(report).splitlines()[0].startswith("scale: at p = 0.1 what is kept is 0.9 times")
    assert str(report).splitlines()[-1] == "1 passed, 1 failed, 0 skipped, 0 not applicable; masks: recovered"
    again = json.loads(json.dumps(report.as_json()))
    assert [r["status"] for r in again["results"]] == ["failed", "passed"]
    assert again["findings"][0]["got"] == "[[1.]]"


# ------------------------------------------------------------------------------------------------- how masks are known
def test_masks_that_are_returned_are_believed():
    def returns(x, p, seed):
        return puredrop.dropout(x, p, key=Key(seed), return_mask=True)

    assert clean(conformance.check(returns, only=["values", "rows"])).masks == "returned"

    def lies(x, p, seed):
        y, keep = puredrop.dropout(x, p, key=Key(seed), return_mask=True)
        return y, ~keep

    assert [f.check for f in conformance.check(lies, only=["values"]).findings] == ["values"]


def test_masks_are_injected_where_the_target_takes_them():
    def takes(q, k, v, p, seed, mask=None):
        options = {"key": Key(seed)} if mask is None else {"mask": mask}
        return puredrop.drop_connect(q, k, v, p, **options)

    assert clean(conformance.check(takes, "drop_connect", only=["values"])).masks == "injected"


def test_masks_are_replayed_from_the_seed():
    def unknown(a, b, p, seed):
        return puredrop.swapout(a, b, p, p, key=Key(seed))

    assert conformance.check(unknown, "swapout", only=["values"]).masks == "unknown"

    def torch_like(x, p, seed):
        with puredrop.draw_from(streams.TorchCPU(seed)):
            return puredrop.dropout(x, p)

    report = conformance.check(torch_like, only=["replay"], stream=streams.TorchCPU)
    assert (clean(report).masks, report.results[0].status) == ("recovered", "passed")
    [finding] = conformance.check(right, only=["replay"], stream=streams.TorchCPU).findings
    assert "the mask is not the one that the stream has" in finding.sentence


def test_without_a_mask_the_moments_are_checked():
    def wrong(a, b, p, seed):
        return puredrop.swapout(a, b, p, p, key=Key(seed)) * a.dtype.type(1.05)

    [finding] = conformance.check(wrong, "swapout", only=["moments", "values"]).findings
    assert finding.sentence.startswith("at p = 0.9 the mean of y is off by 0.05")
    clean(
        conformance.check(
            lambda a, b, p, seed: puredrop.swapout(a, b, p, p, key=Key(seed)), "swapout", only=["moments"]
        )
    )


def test_elements_that_must_share_a_decision():
    [finding] = conformance.check(right, "dropout2d", only=["shared axes"]).findings
    assert finding.sentence == "elements along axes (2, 3) share one decision, and here each has its own"


# ------------------------------------------------------------------------------------------------------------ bad input
def test_a_target_that_hangs_is_a_finding_and_the_rest_is_not_run():
    def hangs(x, p, seed):
        time.sleep(3)

    report = conformance.check(hangs, time_limit=0.2)
    assert [(f.check, f.verdict) for f in report.findings] == [("runs", "hung")]
    assert report.findings[0].sentence == "an ordinary call does not come back: no result after 0.2 seconds"
    assert {r.status for r in report.results[1:]} == {"skipped"}


def test_a_target_that_hangs_later_is_a_finding_too():
    def hangs(x, p, seed):
        time.sleep(3 * (p == 1))
        return right(x, p, seed)

    report = conformance.check(hangs, only=["p = 1", "nonfinite"], time_limit=0.2)
    assert [(f.check, f.verdict) for f in report.findings] == [("p = 1", "hung")]
    assert report.results[-1].reason == "after the finding of 'p = 1'"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "a target is a function of .* got int"),
        (
            lambda: 0,
            r"<lambda>\(\) cannot be called for dropout, which has 1 input.*takes \(x, p, seed\)",
        ),
        (lambda a, b, c, d: 0, r"cannot be called for dropout"),
        (type("Opaque", (), {"__call__": 3})(), "does not show its parameters"),
    ],
)
def test_what_cannot_be_called_is_refused_in_words(target, message):
    with pytest.raises(TypeError, match=message):
        conformance.check(target)


def test_results_that_are_no_arrays_are_findings():
    [finding] = conformance.check(lambda x, p, seed: "nothing", only=["runs"]).findings
    assert finding.sentence == "an ordinary call raises: TypeError: a dropout must give an array, got str"


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown variant 'drop'; known are dropout"):
        conformance.check(right, like="drop")
    with pytest.raises(ValueError, match="unknown check 'speed'; known are runs"):
        conformance.check(right, only=["speed"])


def test_an_absent_device_is_named(torch):
    with pytest.raises(ValueError, match="check: there is no device 'xpu' here"):
        conformance.check(torch.nn.functional.dropout, device="xpu")


# ----------------------------------------------------------------------------------------------------------- libraries
# What PyTorch documents or is known for on a CPU: it multiplies by the mask (NaN stays, dropped negatives are -0),
# draws in the order of memory, and rounds the scale to half precision.
DEVIATIONS = {"nonfinite", "signed zero", "layout", "half precision", "nonfinite gradient"}


def test_pytorch_conforms_but_for_its_known_deviations(torch):
    report = conformance.check(torch.nn.functional.dropout, stream=streams.TorchCPU)
    assert {finding.check for finding in report.findings} == DEVIATIONS
    statuses = {r.check: r.status for r in report.results}
    assert {statuses[check] for check in ("gradient", "replay", "rows", "calls", "evaluation")} == {"passed"}


def test_a_module_and_a_class_of_modules_are_targets(torch):
    for target in (torch.nn.Dropout(), torch.nn.Dropout, lambda x, p: torch.nn.functional.dropout(x, p)):
        arrays = "torch" if not hasattr(target, "forward") else None
        clean(conformance.check(target, arrays=arrays, only=["values", "gradient", "p = 1", "rate errors"]))
    with pytest.raises(TypeError, match="Linear has no rate under a known name"):
        conformance.check(torch.nn.Linear(2, 2))


def test_a_function_of_jax_with_a_key():
    jax = pytest.importorskip("jax", reason="JAX is not installed")

    def mine(x, p, key):
        keep = jax.random.bernoulli(key, 1 - p, x.shape)
        return jax.numpy.where(keep, x / (1 - p), 0)

    report = conformance.check(mine, only=["values", "gradient", "gradient at p = 1", "rate gradient", "seeds"])
    assert {finding.check for finding in report.findings} == {"gradient at p = 1", "rate gradient"}


def test_a_model_of_onnx():
    onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
    make = onnx.helper
    node = make.make_node("Dropout", ["x", "ratio", "training"], ["y"])
    kinds = onnx.TensorProto
    asked = [("x", kinds.FLOAT, ["N", "C"]), ("ratio", kinds.FLOAT, []), ("training", kinds.BOOL, [])]
    values = [make.make_tensor_value_info(*one) for one in asked]
    graph = make.make_graph([node], "one dropout", values, [make.make_tensor_value_info("y", kinds.FLOAT, ["N", "C"])])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 22)])
    report = conformance.check(model, only=["values", "p = 0", "p = 1", "evaluation", "seeds"], stream=streams.ONNX)
    assert [finding.check for finding in report.findings] == ["p = 1"]


def test_a_layer_of_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    for target in (keras.layers.Dropout, keras.layers.Dropout(0.3, seed=1)):
        clean(conformance.check(target, only=["values", "p = 0", "p = 1", "evaluation", "seeds"]))


def test_arrays_of_any_module_that_speaks_dlpack(torch):
    def mine(x, p, seed):
        torch.manual_seed(seed)
        return torch.nn.functional.dropout(x, p)

    clean(conformance.check(mine, arrays=torch, only=["values", "rows"]))
