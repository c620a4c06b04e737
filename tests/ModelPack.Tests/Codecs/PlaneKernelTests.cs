using ModelPack.Codecs;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

[Trait("Category", "Simd")]
public sealed class PlaneKernelTests
{
    public static TheoryData<int, int> Layouts => new() { { 2, 0 }, { 2, 5 }, { 2, 8 }, { 2, 15 }, { 4, 0 }, { 4, 8 }, { 4, 31 }, { 8, 0 }, { 8, 11 }, { 8, 63 } };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Split_everyLength_equalsTheScalarReferenceAndMergesBack(int width, int moved)
    {
        var move = new SignMove(8 * width, moved);
        for (int elements = 1; elements < 70; elements++)
        {
            byte[] raw = PackSamples.Random(elements, elements * width);
            byte[] fast = new byte[raw.Length];
            byte[] reference = new byte[raw.Length];
            PlaneKernel.Split(raw, width, move, elements, fast);
            PlaneKernel.SplitScalar(raw, width, move, elements, reference, 0);
            Assert.Equal(reference, fast);

            byte[] merged = new byte[raw.Length];
            PlaneKernel.Merge(fast, width, move, elements, merged);
            Assert.Equal(raw, merged);
        }
    }

    [Fact]
    public void Split_f32_leavesTheMantissaOfABf16InOnePlane()
    {
        byte[] planes = new byte[4];
        PlaneKernel.Split([0, 0, 0xC9, 0xC0], 4, new SignMove(32, 8), 1, planes); // -6.28125: sign 1, exponent 129, mantissa 1001001
        Assert.Equal([0, 0, 0xC9, 129], planes);
    }

    [Fact]
    public void Split_bf16Rotated_putsTheExponentIntoTheHighPlane()
    {
        byte[] planes = new byte[2];
        PlaneKernel.Split([0x80, 0xBF], 2, new SignMove(16, 15), 1, planes); // -1.0: sign 1, exponent 127, mantissa 0
        Assert.Equal([0x01, 127], planes);
    }
}
