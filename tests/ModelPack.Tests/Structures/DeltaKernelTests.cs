using System.Numerics;
using System.Runtime.InteropServices;
using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Structures;

[Trait("Category", "Simd")]
public sealed class DeltaKernelTests
{
    [Fact]
    public void Subtract_everyLength_equalsTheReferenceAndAddUndoesIt()
    {
        Check<byte>(1);
        Check<ushort>(2);
        Check<uint>(4);
        Check<ulong>(8);
    }

    [Fact]
    public void Subtract_neighboursOfEitherSide_areSmall()
    {
        ushort[] x = [5, 6, 4, 7, 3, 0x8005, 0, 0xffff];
        ReadOnlySpan<ushort> y = [5, 5, 5, 5, 5, 5, 0xffff, 0];
        DeltaKernel.Subtract(MemoryMarshal.AsBytes(x.AsSpan()), MemoryMarshal.AsBytes(y), 2);
        Assert.Equal([0, 2, 1, 4, 3, 0xffff, 2, 1], x);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void DifferenceData_readAnywhere_isPartOfTheWhole(int width)
    {
        byte[] now = PackSamples.Random(1, 64 * width);
        byte[] old = PackSamples.Random(2, 64 * width);
        var differences = new DifferenceData(TensorData.FromBytes(now), TensorData.FromBytes(old), width, restore: false);
        byte[] whole = differences.ToArray();
        var restored = new DifferenceData(TensorData.FromBytes(whole), TensorData.FromBytes(old), width, restore: true);
        for (int offset = 0; offset < 3 * width; offset++)
        {
            for (int length = 0; length <= now.Length - offset; length += length < 20 ? 1 : 13)
            {
                using PoisonBuffer room = PoisonBuffer.EndingAtGuard(length);
                differences.Read(offset, room.GetSpan());
                Assert.True(whole.AsSpan(offset, length).SequenceEqual(room.GetSpan()), $"{offset} {length}");
                restored.Read(offset, room.GetSpan());
                Assert.True(now.AsSpan(offset, length).SequenceEqual(room.GetSpan()), $"{offset} {length}");
            }
        }
    }

    [Fact]
    public void DifferenceData_largerThanAPiece_comesBack()
    {
        byte[] now = PackSamples.Random(1, 200_002);
        byte[] old = PackSamples.Random(2, 200_002);
        var differences = new DifferenceData(TensorData.FromBytes(now), TensorData.FromBytes(old), 2, restore: false);
        var restored = new DifferenceData(differences, TensorData.FromBytes(old), 2, restore: true);
        Assert.Equal(now, restored.ToArray());
    }

    [Theory]
    [InlineData("delta(op=1) > u16", 1022)]
    public void Validate_argument_isMP1022(string spec, int code)
    {
        var encoding = new StructuredEncoding(UnitSpec.Parse(spec.Split(" > ")[0]), new Shape(2), [DenseEncoding.Raw(DType.U16, new Shape(2), TensorData.FromBytes(new byte[4]))]);
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get("delta").Validate(encoding)).Code.Number);
    }

    [Fact]
    public void Validate_otherShapesTypesOrComponents_areMP1020()
    {
        DenseEncoding Raw(DType dtype, int n) => DenseEncoding.Raw(dtype, new Shape(n), TensorData.FromBytes(new byte[(int)dtype.StorageBytes(n)]));
        foreach (WeightEncoding[] components in new WeightEncoding[][] { [], [Raw(DType.U16, 2), Raw(DType.U16, 2)], [Raw(DType.U16, 3)], [Raw(DType.BF16, 2)], [Delta.Of(DType.U16, new Shape(2), TensorData.FromBytes(new byte[4]))] })
        {
            var encoding = new StructuredEncoding(new UnitSpec("delta"), new Shape(2), [.. components]);
            Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get("delta").Validate(encoding)).Code);
        }
    }

    private static void Check<T>(int width)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        for (int n = 0; n <= 70; n++)
        {
            byte[] now = PackSamples.Random(n, n * width);
            byte[] old = PackSamples.Random(n + 1000, n * width);
            now.AsSpan(0, n * width / 3).Clear();
            T[] expected = MemoryMarshal.Cast<byte, T>(now).ToArray();
            DeltaKernel.SubtractScalar(expected.AsSpan(), MemoryMarshal.Cast<byte, T>(old), 0);
            using PoisonBuffer x = PoisonBuffer.Copy<byte>(now);
            using PoisonBuffer y = PoisonBuffer.Copy<byte>(old);
            DeltaKernel.Subtract(x.GetSpan(), y.GetSpan(), width);
            Assert.True(MemoryMarshal.AsBytes(expected.AsSpan()).SequenceEqual(x.GetSpan()), $"width {width}, {n} elements");
            DeltaKernel.Add(x.GetSpan(), y.GetSpan(), width);
            Assert.True(now.AsSpan().SequenceEqual(x.GetSpan()), $"width {width}, {n} elements");
            DeltaKernel.AddScalar(expected.AsSpan(), MemoryMarshal.Cast<byte, T>(old), 0);
            Assert.True(MemoryMarshal.AsBytes(expected.AsSpan()).SequenceEqual(now));
        }
    }
}
