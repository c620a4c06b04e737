using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Rows of 16-bit posits (Posit Standard 2022). Tiles hold their sign, then the magnitude in the 15 bits below it, not the complement of negative ones; kernels decode magnitudes without branches (<see cref="PositPairs"/>), up to a factor
/// that is the scale of the row. A row with NaR (not a real), which has no magnitude, has the scale NaN: so are its sums, as if the one weight were.
/// </summary>
internal sealed unsafe class PositRows : CodeRows
{
    private const short NaR = short.MinValue;

    private readonly int _columns;
    private readonly float _scale;

    private PositRows(int columns, int exponentBits)
    {
        _columns = columns;
        _scale = PositPairs.Factor(exponentBits);
    }

    public override IReadOnlyList<string> Roles => ["codes"];

    /// <exception cref="ModelPackException">MP1022: a wrong argument.</exception>
    public static CodeRows TryCreate(UnitSpec spec, int columns)
    {
        int exponentBits = int.Parse(NumberFormats.Bind(spec, new Shape(1, columns)).Spec.Text("es", ""), CultureInfo.InvariantCulture);
        return new PositRows(columns, exponentBits) { Bits = 16, Words = exponentBits == 1 ? ValueKind.Posit1 : ValueKind.Posit2, Block = 0, Scale = TileScale.F32 };
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        var stored = new ReadOnlySpan<short>((short*)streams[0] + (row * _columns), _columns);
        Span<short> words = MemoryMarshal.Cast<byte, short>(codes)[..stored.Length];
        int i = 0;
        for (; i + Vector128<short>.Count <= stored.Length; i += Vector128<short>.Count)
        {
            Vector128<short> code = Vector128.Create(stored.Slice(i, Vector128<short>.Count));
            Vector128<short> complement = code >> 15;
            ((((code ^ complement) - complement) & Vector128.Create(short.MaxValue)) | (code & Vector128.Create(short.MinValue))).CopyTo(words[i..]);
        }

        for (; i < stored.Length; i++)
        {
            short code = stored[i];
            words[i] = (short)(((code < 0 ? -code : code) & short.MaxValue) | (code & short.MinValue));
        }

        scales.Fill(stored.Contains(NaR) ? float.NaN : _scale);
    }
}
