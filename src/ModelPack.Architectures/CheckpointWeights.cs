using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>The tensors of a checkpoint by name, and which of them a graph has taken: so that none is forgotten.</summary>
public sealed class CheckpointWeights
{
    private readonly ImmutableArray<Tensor> _all;
    private readonly Dictionary<string, Tensor> _left;

    /// <param name="tensors">All tensors; names are unique.</param>
    public CheckpointWeights(ImmutableArray<Tensor> tensors)
    {
        _all = tensors;
        _left = tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
    }

    /// <summary>True when a tensor of the checkpoint has that type.</summary>
    public bool HasAny(DType dtype) => _all.Any(t => t.DType == dtype);

    /// <summary>True when there is a tensor of that name that no graph has taken.</summary>
    internal bool Has(string name) => _left.ContainsKey(name);

    /// <summary>Takes a floating-point tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">The shape that follows from the configuration.</param>
    /// <param name="why">What of the configuration the shape follows from, for the message.</param>
    /// <param name="vocabulary">True when the first size is that of the vocabulary: a code of its own says so.</param>
    /// <exception cref="ModelPackException">MP1506, MP1508, MP1509, MP1510.</exception>
    public Tensor Take(string name, Shape shape, string why, bool vocabulary = false)
    {
        if (!_left.Remove(name, out Tensor? tensor))
        {
            throw new ModelPackException(ErrorCodes.WeightMissing, "is not in the checkpoint, and the architecture needs it", tensor: name);
        }

        if (tensor.Shape != shape)
        {
            bool rows = vocabulary && tensor.Shape.Rank == shape.Rank && tensor.Shape[0] != shape[0] && tensor.Shape[-1] == shape[-1];
            throw rows
                ? new ModelPackException(ErrorCodes.VocabularyMismatch, $"has {tensor.Shape[0]} rows, but vocab_size in {ModelConfig.FileName} is {shape[0]}", tensor: name)
                : new ModelPackException(ErrorCodes.WeightShape, $"is {tensor.Shape}, but {ModelConfig.FileName} means {shape} ({why})", tensor: name);
        }

        return tensor.DType is DType.F32 or DType.F16 or DType.BF16
            ? tensor
            : throw new ModelPackException(ErrorCodes.WeightDType, $"is {tensor.DType.Name()}; graphs are built for weights of f32, f16 and bf16, and for FP8 with its scales", tensor: name);
    }

    /// <summary>What is left, in the order of the checkpoint, when all of it is known to be of no use to a graph.</summary>
    /// <param name="isKnown">Says so of a name.</param>
    /// <exception cref="ModelPackException">MP1507: one is not.</exception>
    public ImmutableArray<Tensor> Leave(Func<string, bool> isKnown)
    {
        ImmutableArray<Tensor> left = [.. _all.Where(t => _left.ContainsKey(t.Name))];
        Tensor? unknown = left.FirstOrDefault(t => !isKnown(t.Name));
        if (unknown is null)
        {
            return left;
        }

        int others = left.Count(t => !isKnown(t.Name)) - 1;
        throw new ModelPackException(
            ErrorCodes.WeightUnused, $"has no place in the architecture{(others > 0 ? $", nor have {others} more" : "")}: the graph would be another model than the checkpoint", tensor: unknown.Name);
    }
}
