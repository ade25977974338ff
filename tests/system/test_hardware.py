from mobilenet_tf.system.hardware import describe_machine, name_machines


def test_machines_that_differ_in_cores_alone_are_named_once():
    fast = {"processor": "AMD EPYC", "features": "AVX2, BF16", "cores": 2}
    pinned = {**fast, "cores": 1}
    assert name_machines([fast, pinned, fast]) == "AMD EPYC (AVX2, BF16), 1 or 2 cores"


def test_other_processors_are_listed_each_with_its_cores():
    old = {"processor": "Example CPU", "features": "", "cores": 1}
    new = {"processor": "AMD EPYC", "features": "BF16", "cores": 8}
    assert name_machines([old, new]) == "AMD EPYC (BF16), 8 cores; Example CPU, 1 core"


def test_this_machine_has_a_name():
    assert name_machines([describe_machine()]).endswith(("core", "cores"))
