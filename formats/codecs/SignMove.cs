using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>
/// Moves the sign of floating-point words below the exponent: the highest t + 1 bits are rotated left by one. With t the exponent's width the exponent then begins at the highest bit and
/// the mantissa stays where it is; t = 0 changes nothing, t = width - 1 rotates the whole word.
/// </summary>
internal readonly struct SignMove
{
    private readonly ulong _low;
    private readonly ulong _exponent;
    private readonly ulong _sign;
    private readonly int _moved;

    /// <param name="width">Bits of a word: 16, 32 or 64.</param>
    /// <param name="moved">t: bits that the sign moves down by, 0 to <paramref name="width"/> - 1.</param>
    public SignMove(int width, int moved)
    {
        _moved = moved;
        _sign = 1UL << (width - 1);
        _low = (_sign >> moved) - 1;
        _exponent = _sign - 1 - _low;
    }

    /// <summary>False when words stay as they are.</summary>
    public bool Moves => _moved > 0;

    /// <summary>True when the sign of a word of two bytes goes to the highest bit of its lower byte.</summary>
    public bool SwapsHighestBits => _sign == 0x8000 && _moved == 8;

    /// <summary>Sign, exponent, rest to exponent, sign, rest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Down(ulong x) => ((x & _exponent) << 1) | ((x & _sign) >> _moved) | (x & _low);

    /// <summary>The inverse of <see cref="Down(ulong)"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Up(ulong y) => ((y >> 1) & _exponent) | ((y << _moved) & _sign) | (y & _low);

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<ushort> Down(Vector128<ushort> x) =>
        ((x & Vector128.Create((ushort)_exponent)) << 1) | ((x & Vector128.Create((ushort)_sign)) >>> _moved) | (x & Vector128.Create((ushort)_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<ushort> Up(Vector128<ushort> y) =>
        ((y >>> 1) & Vector128.Create((ushort)_exponent)) | ((y << _moved) & Vector128.Create((ushort)_sign)) | (y & Vector128.Create((ushort)_low));

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<uint> Down(Vector128<uint> x) =>
        ((x & Vector128.Create((uint)_exponent)) << 1) | ((x & Vector128.Create((uint)_sign)) >>> _moved) | (x & Vector128.Create((uint)_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<uint> Up(Vector128<uint> y) =>
        ((y >>> 1) & Vector128.Create((uint)_exponent)) | ((y << _moved) & Vector128.Create((uint)_sign)) | (y & Vector128.Create((uint)_low));

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<ulong> Down(Vector128<ulong> x) =>
        ((x & Vector128.Create(_exponent)) << 1) | ((x & Vector128.Create(_sign)) >>> _moved) | (x & Vector128.Create(_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector128<ulong> Up(Vector128<ulong> y) =>
        ((y >>> 1) & Vector128.Create(_exponent)) | ((y << _moved) & Vector128.Create(_sign)) | (y & Vector128.Create(_low));

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<ushort> Down(Vector512<ushort> x) =>
        ((x & Vector512.Create((ushort)_exponent)) << 1) | ((x & Vector512.Create((ushort)_sign)) >>> _moved) | (x & Vector512.Create((ushort)_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<ushort> Up(Vector512<ushort> y) =>
        ((y >>> 1) & Vector512.Create((ushort)_exponent)) | ((y << _moved) & Vector512.Create((ushort)_sign)) | (y & Vector512.Create((ushort)_low));

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<uint> Down(Vector512<uint> x) =>
        ((x & Vector512.Create((uint)_exponent)) << 1) | ((x & Vector512.Create((uint)_sign)) >>> _moved) | (x & Vector512.Create((uint)_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<uint> Up(Vector512<uint> y) =>
        ((y >>> 1) & Vector512.Create((uint)_exponent)) | ((y << _moved) & Vector512.Create((uint)_sign)) | (y & Vector512.Create((uint)_low));

    /// <summary>As <see cref="Down(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<byte> Down(Vector512<byte> x) =>
        ((x & Vector512.Create((byte)_exponent)) << 1) | ((x & Vector512.Create((byte)_sign)) >>> _moved) | (x & Vector512.Create((byte)_low));

    /// <summary>As <see cref="Up(ulong)"/> in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector512<byte> Up(Vector512<byte> y) =>
        ((y >>> 1) & Vector512.Create((byte)_exponent)) | ((y << _moved) & Vector512.Create((byte)_sign)) | (y & Vector512.Create((byte)_low));
}
