//! Packages for machine learning, in the NixOS-like root: the largest wheels that there are, with native code of all kinds.

mod native;
mod support;

use native::Lab;
use support::{Root, Shim, Use, come_to_work, nixbox};

/// A model that adds its input to itself, written by hand (onnx.proto3).
const MODEL: &str = "
import numpy, onnxruntime as o
field = lambda number, value: bytes([number << 3 | 2, len(value)]) + value
number = lambda number, value: bytes([number << 3, value])
value = lambda name: field(1, name) + field(2, field(1, number(1, 1) + field(2, field(1, number(1, 2)))))
node = field(1, b'x') + field(1, b'x') + field(2, b'y') + field(4, b'Add')
graph = field(1, node) + field(2, b'g') + field(11, value(b'x')) + field(12, value(b'y'))
model = number(1, 8) + field(7, graph) + field(8, number(2, 13))
session = o.InferenceSession(model, providers=o.get_available_providers())
assert session.run(None, {'x': numpy.array([1, 2], 'float32')})[0].tolist() == [2, 4]
";

#[test]
fn boosted_trees_are_grown_and_a_model_is_run() {
    let lab = Lab::new();
    lab.library("libcublas.so.12", &[]);
    lab.library("libonnxruntime_providers_cuda.so", &["-L.", "-l:libcublas.so.12"]);
    let made = nixbox().machine().bind(lab.path(), "/made", false);
    let root = Root::in_machine(made, &["lightgbm", "xgboost-cpu", "onnxruntime"]);
    let uses = [
        Use {
            variables: "",
            code: "import numpy, lightgbm as l; x = numpy.arange(40.0).reshape(-1, 1); b = l.train({'verbose': -1, 'min_data_in_leaf': 1}, l.Dataset(x, x[:, 0]), 5); assert b.predict(x).std() > 1",
            fails: "cannot open shared object file",
        },
        Use {
            variables: "",
            code: "import numpy, xgboost as g; x = numpy.arange(40.0).reshape(-1, 1); b = g.train({}, g.DMatrix(x, x[:, 0]), 5); assert b.predict(g.DMatrix(x)).std() > 1",
            fails: "cannot open shared object file",
        },
        Use { variables: "", code: MODEL, fails: "cannot open shared object file" },
    ];
    come_to_work(&root, &uses, "");

    // A provider for other hardware, as the wheel onnxruntime-gpu has one: onnxruntime works without what it links.
    root.sh("cd v/lib/python3.11/site-packages; cp /made/libonnxruntime_providers_cuda.so onnxruntime/capi/
         echo onnxruntime/capi/libonnxruntime_providers_cuda.so,, >> $(echo onnxruntime-*.dist-info)/RECORD");
    root.pitstop("fix v", 0);
    root.python("", MODEL).unwrap();
    assert!(root.pitstop("check v", 0).contains("pitstop fix --optional"));
    let said = root.pitstop("check --json v", 0);
    assert!(said.contains("libcublas.so.12"), "{said}");
}

/// What numba compiles, shared out among threads.
macro_rules! shared_out {
    ($layer:literal) => {
        concat!(
            "
import numba, numpy
@numba.njit(parallel=True)
def total(x):
    s = 0.0
    for i in numba.prange(x.size):
        s += x[i]
    return s
assert total(numpy.ones(100)) == 100 and numba.threading_layer() == '",
            $layer,
            "', numba.threading_layer()"
        )
    };
}

#[test]
fn numba_computes_without_its_pools_and_with_them_where_they_were_asked_for() {
    let root = Root::with(&["numba"]);
    let pools = [
        ("NUMBA_THREADING_LAYER=omp", shared_out!("omp")),
        ("NUMBA_THREADING_LAYER=tbb", shared_out!("tbb")),
    ];
    let launched = "from numba.np.ufunc.parallel import _launch_threads; _launch_threads()";
    for standing in Shim::BOTH {
        let root = root.beside(standing);
        let fails = |when: &str| {
            let said = root.python("", shared_out!("workqueue")).expect_err(when);
            assert!(said.contains("cannot open shared object file"), "{said}");
        };
        fails("it works without a fix, so this test shows nothing");
        root.pitstop("fix v", 0);
        root.python("", shared_out!("workqueue")).unwrap();
        let said = root.pitstop("check v", 0);
        for soname in ["libgomp.so.1.0.0", "libtbb.so.12"] {
            assert!(said.contains(soname), "{said}");
        }
        for (variables, _) in pools {
            let said = root.python(variables, launched).expect_err("nobody asked for it");
            assert!(said.contains("No threading layer could be loaded"), "{said}");
        }
        let said = root.pitstop("fix --optional v", 0);
        for (variables, code) in pools {
            root.python(variables, code).unwrap_or_else(|error| panic!("{said}\n{error}"));
        }
        root.pitstop("undo v", 0);
        fails("it still works after undo");
    }
}

#[test]
fn tensorflow_trains_a_layer() {
    let root = Root::with(&["tensorflow-cpu==2.13.1"]);
    let uses = [Use {
        variables: "TF_CPP_MIN_LOG_LEVEL=3",
        code: "import numpy, tensorflow as t; m = t.keras.Sequential([t.keras.layers.Dense(1, input_shape=(1,))]); m.compile('sgd', 'mse'); m.fit(numpy.ones((4, 1)), numpy.ones((4, 1)), verbose=0); assert float(t.reduce_sum(t.eye(3))) == 3",
        fails: "cannot open shared object file",
    }];
    come_to_work(&root, &uses, "");
}

/// What PyPI has of torch for x86_64 is built for CUDA, and links CUDA's libraries, which come as wheels: without a driver it
/// computes on the CPU, and takes every one of those from its own wheels. Left out is what importing it does not load.
#[test]
fn torch_learns_on_the_cpu_with_the_libraries_of_its_own_wheels() {
    let root = Root::with_exactly(&[
        "torch==2.15.0",
        "nvidia-cudnn-cu13==9.26.0.51",
        "nvidia-cusparselt-cu13==0.8.1",
        "nvidia-nccl-cu13==2.30.7",
        "nvidia-nvshmem-cu13==3.7.2",
        "nvidia-cublas==13.4.1.3",
        "nvidia-cuda-cupti==13.2.86",
        "nvidia-cuda-nvrtc==13.2.86",
        "nvidia-cuda-runtime==13.2.86",
        "nvidia-cufft==12.2.0.57",
        "nvidia-cufile==1.17.1.22",
        "nvidia-cusparse==12.7.10.12",
        "nvidia-nvjitlink==13.5.37",
        "filelock",
        "typing-extensions",
        "sympy",
        "mpmath",
        "networkx",
        "jinja2",
        "markupsafe",
        "fsspec",
    ]);
    let uses = [Use {
        variables: "",
        code: "import warnings; warnings.simplefilter('ignore')\n\
            import torch; x = torch.ones(3, requires_grad=True); (x @ x).backward(); assert x.grad.tolist() == [2, 2, 2] and not torch.cuda.is_available()\n\
            loaded = {line.split()[-1] for line in open('/proc/self/maps') if '/lib' in line}\n\
            own = [path for path in loaded if '/nvidia/' in path or '/torch/' in path]\n\
            for name in 'libcudart.so.13', 'libcublas.so.13', 'libcudnn.so.9', 'libnccl.so.2', 'libgomp.so.1':\n    assert sum(name in path for path in own) == 1 == sum(name in path for path in loaded), (name, sorted(loaded))",
        fails: "cannot open shared object file",
    }];
    come_to_work(&root, &uses, "");
}
