"""
Is one model better than the other?
===================================

Two scores differ. Would they do so on other images, and with other seeds?
``compare_scores`` answers with an interval and a p-value, from the same test images.
"""

# %%
# Colored shapes, drawn by the package, so that there are enough independent images.
# The question: is a network of depth 3 better here than one of depth 2?

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

X, y = make_shapes(100, size=48, random_state=0)
X_train, y_train, X_test, y_test = X[:40], y[:40], X[40:], y[40:]

# %%
# Each is trained three times, from different seeds. The trainings are short, so that
# luck has a large part in them.

predicted = {
    depth: [
        FCNSegmenter(depth=depth, width=8, max_epochs=12, random_state=seed)
        .fit(X_train, y_train)
        .predict(X_test)
        for seed in range(3)
    ]
    for depth in (2, 3)
}

# %%
# One training each: the interval is about other test images, paired, as both networks
# have seen the same ones. It looks like a clear case.

from sksegment.metrics import compare_scores


def describe(comparison):
    low, high = comparison.interval
    return f"difference {comparison.difference:+.3f}, 95 % {low:+.3f} to {high:+.3f}"


one = compare_scores(y_test, predicted[3][0], predicted[2][0])
print(f"mean IoU {one.score_a:.3f} and {one.score_b:.3f}")
print(describe(one), f"p = {one.p_value:.4f}")

# %%
# Three trainings each: the interval now allows for the seeds as well, and a second
# p-value is about the way of training. (With three of each, it cannot be below 0.1.)
# What looked clear was in large part the luck of one seed.

three = compare_scores(y_test, predicted[3], predicted[2])
print(describe(three))
print(f"p = {three.p_value:.4f} over images")
print(f"p = {three.p_value_trainings:.2f} over trainings")

# %%
# The scores of each class, side by side. Intervals that overlap do not mean that the
# models are alike: both find the same images hard.

import matplotlib.pyplot as plt

from sksegment.display import ScoreDisplay
from sksegment.metrics import image_scores

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
ScoreDisplay.from_predictions(
    y_test,
    {f"depth {depth}": masks[0] for depth, masks in predicted.items()},
    class_names=["background", "disk", "square", "triangle"],
    ax=axes[0],
)
for seed, (deep, shallow) in enumerate(zip(predicted[3], predicted[2], strict=True)):
    axes[1].scatter(
        image_scores(y_test, shallow),
        image_scores(y_test, deep),
        s=12,
        alpha=0.6,
        label=f"seed {seed}",
    )
axes[1].axline((0.5, 0.5), slope=1, color="grey", linestyle=":")
axes[1].set(xlabel="depth 2", ylabel="depth 3", title="mean IoU of each test image")
axes[1].legend()
plt.show()
