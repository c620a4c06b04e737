using ModelPack.Codecs;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

public sealed class PlaneKernelTests
{
    public static TheoryData<int, bool> Layouts => new() { { 2, false }, { 2, true }, { 4, false }, { 4, true }, { 8, false }, { 8, true } };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Split_everyLength_equalsTheScalarReferenceAndMergesBack(int width, bool rotate)
    {
        for (int elements = 1; elements < 70; elements++)
        {
            byte[] raw = PackSamples.Random(elements, elements * width);
            byte[] fast = new byte[raw.Length];
            byte[] reference = new byte[raw.Length];
            PlaneKernel.Split(raw, width, rotate, elements, fast);
            PlaneKernel.SplitScalar(raw, width, rotate, elements, reference, 0);
            Assert.Equal(reference, fast);

            byte[] merged = new byte[raw.Length];
            Span<byte> p = fast;
            switch (width)
            {
                case 2:
                    PlaneKernel.Merge2(p[..elements], p[elements..], rotate, elements, merged);
                    break;
                case 4:
                    PlaneKernel.Merge4(p[..elements], p[elements..], p[(2 * elements)..], p[(3 * elements)..], rotate, elements, merged);
                    break;
                default:
                    PlaneKernel.Merge8(p, rotate, elements, merged);
                    break;
            }

            Assert.Equal(raw, merged);
        }
    }

    [Fact]
    public void Split_bf16Rotated_putsTheExponentIntoTheHighPlane()
    {
        byte[] planes = new byte[2];
        PlaneKernel.Split([0x80, 0xBF], 2, rotate: true, 1, planes); // -1.0: sign 1, exponent 127, mantissa 0
        Assert.Equal([0x01, 127], planes);
    }
}
