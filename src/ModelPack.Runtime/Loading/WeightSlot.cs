using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Runtime.Loading;

/// <summary>A distinct weight that bindings ask for: initializers of the same content share it.</summary>
/// <param name="Location">Name under which ONNX Runtime finds it.</param>
/// <param name="Bindings">Those that share it, in order; at least one.</param>
internal sealed record WeightSlot(string Location, ImmutableArray<InitializerBinding> Bindings)
{
    /// <summary>True for what only the own operators read: they take it from the buffer, as long as the session lives.</summary>
    public bool IsReadInPlace => Bindings[0].Role is InitializerBinding.Tiles or InitializerBinding.NeuronRows;

    /// <summary>Names of the initializers.</summary>
    public List<string> Initializers => [.. Bindings.Select(b => b.Initializer)];

    /// <summary>What distinguishes it, and decides its bytes.</summary>
    /// <remarks>A class: grouping by a struct is compiled at run time, in every process.</remarks>
    private sealed record Content(string Tensor, string? Role, DType DType, bool Transposed);

    /// <summary>The distinct weights of bindings, in order of first use.</summary>
    public static ImmutableArray<WeightSlot> Of(IReadOnlyList<InitializerBinding> bindings) =>
        [.. bindings.GroupBy(b => new Content(b.Tensor, b.Role, b.DType, b.Transposed)).Select((group, i) => new WeightSlot(string.Create(CultureInfo.InvariantCulture, $"w{i}"), [.. group]))];

    /// <summary>Its bytes as the bindings have them; false where they contradict each other or name more than there can be, which loading reports.</summary>
    public bool TryLength(out long lengthBytes)
    {
        lengthBytes = -1;
        foreach (InitializerBinding binding in Bindings)
        {
            if (!binding.Shape.TryElementCount(out long elements) || !binding.DType.TryStorageBytes(elements, out long bytes) || (lengthBytes >= 0 && lengthBytes != bytes))
            {
                return false;
            }

            lengthBytes = bytes;
        }

        return true;
    }
}
