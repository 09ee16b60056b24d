"""The two losses of DNA-Det, and the weighting that is learned between them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SupConLoss(nn.Module):
    """Supervised contrastive loss over all views (patches) of a batch.

    For an anchor i with positives P(i), every other view of the same class in the batch:

        -1/|P(i)| * sum over p in P(i) of
            log( exp(z_i.z_p/tau) / sum over a != i of exp(z_i.z_a/tau) )

    averaged over the anchors that have a positive. Source: Khosla et al. 2020, equation 2; used on
    patches by Yang et al. 2022, section 4.2.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}: it must be positive")
        self.temperature = temperature

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            features: (B, V, D), L2-normalised: V views of each of B images.
            labels: (B,) class of each image.

        Returns:
            A scalar; 0, with a gradient of 0, where no anchor has a positive.

        Raises:
            ValueError: the shapes do not fit.
        """
        if features.ndim != 3 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"features {tuple(features.shape)} and labels {tuple(labels.shape)}: "
                "expected (B, V, D) and (B,)"
            )
        anchors = features.flatten(0, 1).float()
        classes = labels.repeat_interleave(features.shape[1])
        itself = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
        positive = (classes[:, None] == classes[None]) & ~itself

        similarity = (anchors @ anchors.T / self.temperature).masked_fill(itself, -torch.inf)
        log_probability = similarity - similarity.logsumexp(dim=1, keepdim=True)
        positives = positive.sum(dim=1)
        per_anchor = -log_probability.masked_fill(~positive, 0).sum(dim=1) / positives.clamp(min=1)
        return per_anchor.sum() / (positives > 0).sum().clamp(min=1)


class AutomaticWeightedLoss(nn.Module):
    """Sums losses with learned weights: sum of 0.5 / s_k^2 * L_k + log(1 + s_k^2).

    Source: Liebel and Koerner 2018, equation 5, after Kendall et al. 2018.
    """

    def __init__(self, num: int) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(num))

    def forward(self, *losses: Tensor) -> Tensor:
        """Combine `num` scalar losses into one.

        Raises:
            ValueError: another number of losses than `num`.
        """
        if len(losses) != len(self.scales):
            raise ValueError(f"{len(losses)} losses given, {len(self.scales)} expected")
        squared = self.scales.square()
        return (0.5 / squared * torch.stack(losses) + torch.log1p(squared)).sum()


def classification_loss(logits: Tensor, labels: Tensor, double_softmax: bool = False) -> Tensor:
    """Cross-entropy of logits (N, K) against labels (N,).

    With `double_softmax`, softmax output is fed to cross-entropy, which applies a second softmax:
    a fault of the method's public release, kept as a switch for comparison. Such a loss cannot
    fall under log(1 + (K - 1) / e): 0.905 for five classes.
    """
    return F.cross_entropy(logits.softmax(dim=1) if double_softmax else logits, labels)
