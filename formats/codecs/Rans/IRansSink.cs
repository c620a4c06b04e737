using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>What <see cref="RansDecoder512"/> does with symbols while they are in a register. A struct, so that its loop is compiled for each.</summary>
internal interface IRansSink
{
    /// <summary>Takes 64 symbols.</summary>
    /// <param name="symbols">The symbols.</param>
    /// <param name="index">The first one's, a multiple of 64.</param>
    void Put(Vector512<byte> symbols, nint index);
}

/// <summary>Keeps symbols as they are.</summary>
internal readonly unsafe struct SymbolSink(byte* output) : IRansSink
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Put(Vector512<byte> symbols, nint index) => symbols.Store(output + index);
}

/// <summary>Joins symbols that are the upper bytes of 16-bit elements with a plane of the lower bytes, where the planes exchange their highest bit (bf16).</summary>
internal readonly unsafe struct PairSink(byte* low, byte* raw) : IRansSink
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Put(Vector512<byte> symbols, nint index) => PlaneKernel512.MergePairs(Vector512.Load(low + index), symbols, raw + (2 * index));
}

/// <summary>Joins symbols with the packed bits below them and restores bytes with a sign (8-bit floating point).</summary>
internal readonly unsafe struct SignedByteSink(byte* packed, int bits, SignMove move, byte* raw) : IRansSink
{
    private readonly PackedBelow _below = new(bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Put(Vector512<byte> symbols, nint index) => move.Up(_below.Join(symbols, packed, index)).Store(raw + index);
}

/// <summary>Joins symbols with the packed bits and the byte below them to 16-bit elements, and moves the sign up (f16).</summary>
internal readonly unsafe struct PackedPairSink(byte* packed, int bits, byte* low, SignMove move, byte* raw) : IRansSink
{
    private readonly PackedBelow _below = new(bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Put(Vector512<byte> symbols, nint index)
    {
        Vector512<byte> high = _below.Join(symbols, packed, index);
        Vector512<byte> below = Vector512.Load(low + index);
        byte* target = raw + (2 * index);
        move.Up(Avx512Vbmi.PermuteVar64x8x2(below, PlaneKernel512.Interleave(0), high).AsUInt16()).AsByte().Store(target);
        move.Up(Avx512Vbmi.PermuteVar64x8x2(below, PlaneKernel512.Interleave(32), high).AsUInt16()).AsByte().Store(target + 64);
    }
}

/// <summary>Joins symbols with the packed bits below them and undoes zig-zag.</summary>
internal readonly unsafe struct ZigZagSink(byte* packed, int bits, byte center, byte* raw) : IRansSink
{
    private readonly PackedBelow _below = new(bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Put(Vector512<byte> symbols, nint index) => TopKernel.FromZigZag(_below.Join(symbols, packed, index), center).Store(raw + index);
}

/// <summary>Puts 1 to 7 packed bits below each of 64 symbols; 64 bytes of the plane are read.</summary>
internal readonly unsafe struct PackedBelow(int bits)
{
    private readonly Vector512<byte> _spread = BitPlane.Spread64(bits);
    private readonly Vector512<byte> _shifts = BitPlane.Shift64(bits);
    private readonly Vector512<byte> _low = Vector512.Create((byte)((1 << bits) - 1));
    private readonly int _bits = bits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<byte> Join(Vector512<byte> symbols, byte* packed, nint index)
    {
        Vector512<byte> values = Avx512Vbmi.MultiShift(_shifts, Avx512Vbmi.PermuteVar64x8(Vector512.Load(packed + ((index >> 3) * _bits)), _spread).AsUInt64());
        return Vector512.ConditionalSelect(_low, values, (symbols.AsUInt16() << _bits).AsByte());
    }
}
