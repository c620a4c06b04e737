using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

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
