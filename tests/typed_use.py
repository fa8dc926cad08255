"""What a typed program that uses puredrop looks like: checked by mypy, never run."""

import numpy as np

import puredrop
from puredrop import Key, Tensor, nn, optim

x = np.ones((4, 64), np.float32)
key = Key(seed=7).draw(1)
keep = puredrop.keep_mask(key, x.shape, p=0.1)
t = Tensor(x, backend="numba", requires_grad=True)
loss: Tensor = (t * 2.0 + 1.0).sum(axis=0).mean()
loss.backward()
net: nn.Sequential = nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.2)).seed(0).to("numpy").train()
opt = optim.SGD(net.parameters(), lr=optim.cosine(0.1, steps=10), momentum=0.9)
opt.step()
samples: np.ndarray = puredrop.uncertainty.predict_samples(net, x, samples=3)
report: puredrop.uncertainty.Prediction = puredrop.uncertainty.predict(net, x)
numbers: puredrop.uncertainty.NormalPrediction = puredrop.uncertainty.predict(
    net, x, likelihood="gaussian", noise_variance=1.0, masks="pass"
)
exact: puredrop.uncertainty.CategoricalPrediction = puredrop.uncertainty.exact_predict(net, x, limit=1 << 10)
laplace: puredrop.uncertainty.Laplace = puredrop.uncertainty.fit_laplace(net, x, np.zeros(len(x), int))
told: puredrop.uncertainty.Prediction = laplace.predict(x)
names: tuple[str, ...] = puredrop.backends.available()
nn.save("model.safetensors", net, opt, epoch=1)
notes: dict[str, object] = nn.load("model.safetensors", net, opt)
