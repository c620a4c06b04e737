using ModelPack.Kernels.MatMul;
using ModelPack.Runtime.Prepared;
using ModelPack.Testing;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Files of prepared weights outlive versions of ModelPack: layouts may only change together with the number that is part of their key.</summary>
public sealed class PreparedLayoutTests
{
    private const int Rows = 40;
    private const int Columns = 192;

    /// <summary>XXH3 of the layouts of version 1. A line that differs: raise <see cref="PreparedKey.LayoutVersion"/> and record the new value. A line that is missing: add it.</summary>
    private static readonly (string Format, ulong Hash)[] Recorded =
    [
        ("int8", 0x4DEDFD1AF6196A6F),
        ("int7", 0x3210F6803E719A12),
        ("int6", 0xF2EB59A214DFC436),
        ("int5", 0x6DADCE2B835ECAFC),
        ("int4", 0xF81F059E7F0EC7E9),
        ("int4(scale=f16)", 0xAE367D2622F14810),
        ("int4(scale=f16)!", 0x03A1205B9CE665D6),
        ("int4(block=128,symmetric=false)", 0x2E09E38BAD56379B),
        ("int3", 0xE821040C47D0E448),
        ("int2", 0x72C5CCA12BAE46B8),
        ("mxfp8", 0x05D06AB1F56C60DC),
        ("mxfp6", 0xDFE1DBA34897CD9A),
        ("mxfp4", 0xFE386B9AC27E7D2E),
        ("mxint8", 0xAE6EFDE8F7868695),
        ("float", 0x55170E34EBCACE4A),
        ("nvfp4", 0xC76A07B2BE6435A0),
        ("nf4", 0xB0015AE4A73C0B0F),
        ("fp4", 0xD65E6D40A8B913C4),
        ("dyn8", 0x44AA6BD793C5A826),
        ("fp8", 0xC97572F1CC32283E),
        ("ternary", 0xE76A73FFFAE60965),
        ("posit8", 0x6AD24CA48B54971E),
        ("posit16", 0x3836E28FBA38415B),
        ("bfloat8", 0x323BF04413F8E232),
        ("scalar", 0x4E81ED9D5A650A65),
        ("palette", 0xABEA2C1A7DC8EF4E),
        ("f8e4m3fn", 0x3A68BC9514A61BC6),
        ("f8e4m3fnuz", 0x7EF3540A775F4CF1),
        ("f8e5m2", 0xCEBFD411F484115B),
        ("f8e5m2fnuz", 0xF582B06DF354961E),
        ("bf16", 0x993568F37E619D0B),
        ("f16", 0x2FB3336B29E5867A),
        ("blocksparse(block=16x16) > f32", 0xE73C5BCB6BC12E83),
        ("blocksparse(block=8x16) > mxfp4", 0xE673716876369D52),
        ("nm(m=4,n=2) > int8(block=32)", 0x201980321721B34D),
        ("bankbalanced(bank=16,kept=4) > bf16", 0xC26F68E61FFA1099),
        ("bitmap > f32", 0x7EDE16ADD1F6B00E),
    ];

    [Fact]
    public void Layouts_are_those_of_their_version()
    {
        Assert.Equal(1, PreparedKey.LayoutVersion);
        Assert.Equal([.. CodeRowsCatalog.All.Keys.Order(StringComparer.Ordinal)], Recorded.Select(r => UnitSpec.Parse(r.Format.Split(" > ")[0].TrimEnd('!')).Id).Distinct().Where(CodeRowsCatalog.All.ContainsKey).Order(StringComparer.Ordinal));
        Assert.Equal(Recorded.Select(r => $"{r.Format} 0x{r.Hash:X16}"), Recorded.Select(r => $"{r.Format} 0x{Hash(r.Format):X16}"));
    }

    private static ulong Hash(string format)
    {
        string[] parts = format.Split(" > ");
        if (parts is [string structure, string values])
        {
            if (structure.StartsWith("blocksparse", StringComparison.Ordinal))
            {
                using SparseCase sparse = SparseCase.Make(UnitSpec.Parse(structure).Text("block", ""), values, Rows, Columns, 50);
                return Xxh3.Hash64(sparse.Packed());
            }

            using MaskedCase masked = MaskedCase.Make(structure, values, Rows, Columns, emptyRow: true);
            return Xxh3.Hash64(masked.Packed());
        }

        bool wide = format.EndsWith('!');
        using EncodedMatrix matrix = EncodedMatrix.Encode(format.TrimEnd('!'), Rows, Columns, Values.Weights(7, Rows * Columns));
        return Xxh3.Hash64(matrix.Packed(wide));
    }
}
