using System.Runtime.InteropServices;
using ModelPack.Pack;
using ModelPack.Testing;

namespace ModelPack.Tests.Structures;

/// <summary>One tensor of every structure that is made of factors or sums, with values of their own.</summary>
internal static class FactoredSamples
{
    /// <summary>Structures over [24, 36], with shapes of their components.</summary>
    public static readonly (string Spec, int[][] Components)[] All =
    [
        ("lowrank(rank=5)", [[24, 5], [5, 36]]),
        ("mpo(columns=6x6,ranks=7,rows=4x6)", [[28, 6], [6, 42]]),
        ("mpo(columns=3x3x4,ranks=3x5,rows=2x3x4)", [[6, 3], [15, 9], [4, 20]]),
        ("tucker2(inputs=3,outputs=7)", [[24, 7], [7, 27], [3, 4]]),
        ("cp(rank=6)", [[24, 6], [6, 9], [6, 4]]),
        ("sum", [[24, 36], [24, 36], [24, 36]]),
    ];

    /// <summary>The encoding, components in f32.</summary>
    public static StructuredEncoding Make(string spec, int[][] components) => new(
        UnitSpec.Parse(spec), new Shape(24, 36), [.. components.Select((c, i) => Raw(Values.Weights((ulong)i + 3, c[0] * c[1]), c[0], c[1]))]);

    /// <summary>pivotrank, whose first component is a mask of bytes.</summary>
    public static StructuredEncoding Pivots()
    {
        byte[] mask = [0b0010_0001, 0b0000_0110, 0b1000_0000];
        return new StructuredEncoding(
            UnitSpec.Parse("pivotrank(rank=5)"), new Shape(24, 36), [DenseEncoding.Raw(DType.U8, new Shape(1, 3), TensorData.FromBytes(mask)), Raw(Values.Weights(8, 180), 5, 36), Raw(Values.Weights(9, 95), 19, 5)]);
    }

    /// <summary>All of them as tensors; one with components in int8, one as the kernel of a convolution.</summary>
    public static PackTensorContent[] Tensors()
    {
        StructuredEncoding low = Make(All[0].Spec, All[0].Components);
        StructuredEncoding tucker = Make(All[3].Spec, All[3].Components);
        var coded = SumOf(low, DenseEncoding.Pending(UnitSpec.Parse("int4(block=32)"), Raw(Values.Weights(11, 24 * 36), 24, 36)));
        return
        [
            .. All.Select(s => new PackTensorContent(s.Spec, DType.F32, new Shape(24, 36), Make(s.Spec, s.Components))),
            new("pivots", DType.F32, new Shape(24, 36), Pivots()),
            new("coded", DType.F32, new Shape(24, 36), coded),
            new("kernel", DType.F32, new Shape(24, 4, 3, 3), new StructuredEncoding(new UnitSpec("reshaped"), new Shape(24, 4, 3, 3), [tucker])),
        ];
    }

    private static StructuredEncoding SumOf(params ReadOnlySpan<WeightEncoding> parts) => ModelPack.Structures.SumOf.Of(parts);

    private static DenseEncoding Raw(float[] values, int rows, int columns) =>
        DenseEncoding.Raw(DType.F32, new Shape(rows, columns), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
}
