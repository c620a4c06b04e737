using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// Posits 16 at a time, by integer arithmetic and without a branch per value. Equal to <see cref="PositReference"/>, which also takes the remainder. W is the width of the body (all bits but the sign).
/// <para>
/// Decoding: t is the body, complemented when it begins with 1; converted to f32, its exponent is the position of the regime's terminator and its significand,
/// left-aligned, what follows it. For complemented bodies 3p - 1 - t, with p the power of two in t, undoes the complement below the terminator. Shifting the
/// 23 significand bits left by es then moves the posit's exponent bits into the f32 exponent.
/// </para>
/// <para>Encoding: the regime's bits and the shifted f32 exponent and significand are added; what was shifted out decides on rounding.</para>
/// </summary>
internal static class PositKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    public static void EncodeToBytes(ReadOnlySpan<float> values, int es, Span<byte> codes)
    {
        codes = codes[..values.Length];
        var constants = new Encoder(8, es);
        ref float from = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            MemoryMarshal.Write(codes.Slice(i, 16), TLanes.LowBytes(constants.Encode(TLanes.Load(ref Unsafe.Add(ref from, i)))));
        }

        for (; i < values.Length; i++)
        {
            codes[i] = (byte)PositReference.Encode(values[i], 8, es);
        }
    }

    public static void EncodeToWords(ReadOnlySpan<float> values, int es, Span<ushort> codes)
    {
        codes = codes[..values.Length];
        var constants = new Encoder(16, es);
        ref float from = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes.StoreU16(constants.Encode(TLanes.Load(ref Unsafe.Add(ref from, i))), ref codes.Slice(i, 16)[0]);
        }

        for (; i < values.Length; i++)
        {
            codes[i] = (ushort)PositReference.Encode(values[i], 16, es);
        }
    }

    public static void DecodeWords(ReadOnlySpan<ushort> codes, int es, Span<float> values)
    {
        values = values[..codes.Length];
        var constants = new Decoder(16, es);
        ref ushort from = ref MemoryMarshal.GetReference(codes);
        ref float to = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= codes.Length; i += 16)
        {
            TLanes.Store(constants.Decode(TLanes.LoadU16(ref Unsafe.Add(ref from, i))), ref Unsafe.Add(ref to, i));
        }

        for (; i < codes.Length; i++)
        {
            values[i] = PositReference.Decode(codes[i], 16, es);
        }
    }

    private readonly struct Decoder(int bits, int es)
    {
        private readonly TLanes _modulus = TLanes.CreateInt(1 << bits);
        private readonly TLanes _nar = TLanes.CreateInt(1 << (bits - 1));
        private readonly TLanes _allOnes = TLanes.CreateInt((1 << (bits - 1)) - 1);
        private readonly TLanes _half = TLanes.CreateInt((1 << (bits - 2)) - 1);
        private readonly TLanes _exponentMask = TLanes.CreateInt(0x7F800000);
        private readonly TLanes _fractionMask = TLanes.CreateInt(0x7FFFFF);
        private readonly TLanes _one = TLanes.Create(1f);

        // Regimes: (W - 2) - (e - 127) for bodies that begin with 1, (e - 127) - (W - 1) otherwise, e the biased f32 exponent.
        private readonly TLanes _largeRegime = TLanes.CreateInt(bits - 3 + 127);
        private readonly TLanes _smallRegime = TLanes.CreateInt(bits - 2 + 127);
        private readonly TLanes _bias = TLanes.CreateInt(127);
        private readonly TLanes _largest = TLanes.CreateInt((((bits - 2) << es) + 127) << 23);
        private readonly TLanes _nan = TLanes.CreateInt(0x7FC00000);
        private readonly TLanes _oneInt = TLanes.CreateInt(1);
        private readonly TLanes _signBit = TLanes.CreateInt(int.MinValue);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TLanes Decode(TLanes code)
        {
            TLanes negative = TLanes.GreaterInt(code, _nar);
            TLanes body = TLanes.Select(negative, TLanes.SubtractInt(_modulus, code), code);
            TLanes large = TLanes.GreaterInt(body, _half);
            TLanes run = TLanes.Select(large, TLanes.SubtractInt(_allOnes, body), body);
            TLanes number = TLanes.IntToFloat(run);
            TLanes power = TLanes.And(number, _exponentMask);
            TLanes uncomplemented = TLanes.Subtract(TLanes.Subtract(TLanes.Add(TLanes.Add(power, power), power), _one), number);
            TLanes rest = TLanes.And(TLanes.Select(large, uncomplemented, number), _fractionMask);
            TLanes exponent = TLanes.ShiftRight(number, 23);
            TLanes regime = TLanes.Select(large, TLanes.SubtractInt(_largeRegime, exponent), TLanes.SubtractInt(exponent, _smallRegime));
            TLanes value = TLanes.AddInt(TLanes.ShiftLeft(TLanes.AddInt(TLanes.ShiftLeft(regime, es), _bias), 23), TLanes.ShiftLeft(rest, es));

            // An empty run: the largest posit, zero, or NaR (whose body, its own negation, begins with the sign bit and so counts as large).
            TLanes empty = TLanes.Select(large, _largest, default);
            value = TLanes.Select(TLanes.GreaterInt(_oneInt, run), empty, value);
            value = TLanes.Or(value, TLanes.And(negative, _signBit));
            return TLanes.Select(TLanes.GreaterInt(body, _allOnes), _nan, value);
        }
    }

    private readonly struct Encoder(int bits, int es)
    {
        private readonly TLanes _magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        private readonly TLanes _lastFinite = TLanes.CreateInt(0x7F7FFFFF);
        private readonly TLanes _least = TLanes.CreateInt((127 - ((bits - 2) << es)) << 23);
        private readonly TLanes _largest = TLanes.CreateInt((127 + ((bits - 2) << es)) << 23);
        private readonly TLanes _hidden = TLanes.CreateInt(1 << 23);
        private readonly TLanes _restMask = TLanes.CreateInt((1 << (23 + es)) - 1);
        private readonly TLanes _regimeBias = TLanes.CreateInt(128 >> es);
        private readonly TLanes _one = TLanes.CreateInt(1);
        private readonly TLanes _minusOne = TLanes.CreateInt(-1);
        private readonly TLanes _top = TLanes.CreateInt(bits - 2);
        private readonly TLanes _bodyModulus = TLanes.CreateInt(1 << (bits - 1));
        private readonly TLanes _modulus = TLanes.CreateInt(1 << bits);

        // Shift of exponent and significand: es + 23 - W + L, L the regime's length: r + 2, or 1 - r for negative r.
        private readonly TLanes _shiftLarge = TLanes.CreateInt(es + 23 - (bits - 1) + 2);
        private readonly TLanes _shiftSmall = TLanes.CreateInt(es + 23 - (bits - 1) + 1);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TLanes Encode(TLanes value)
        {
            TLanes magnitude = TLanes.And(value, _magnitudeMask);
            TLanes clamped = TLanes.MaxInt(magnitude, _least);
            clamped = TLanes.Select(TLanes.GreaterInt(clamped, _largest), _largest, clamped);

            // Exponents count from -128, so that they are positive and their low bits are the posit's.
            TLanes shifted = TLanes.AddInt(clamped, _hidden);
            TLanes regime = TLanes.SubtractInt(TLanes.ShiftRight(shifted, 23 + es), _regimeBias);
            TLanes rest = TLanes.And(shifted, _restMask);
            TLanes large = TLanes.GreaterInt(regime, _minusOne);
            TLanes mark = TLanes.ShiftLeftEach(_one, TLanes.Select(large, TLanes.SubtractInt(_top, regime), TLanes.AddInt(_top, regime)));
            TLanes start = TLanes.Select(large, TLanes.SubtractInt(_bodyModulus, mark), mark);
            TLanes shift = TLanes.Select(large, TLanes.AddInt(_shiftLarge, regime), TLanes.SubtractInt(_shiftSmall, regime));
            TLanes kept = TLanes.ShiftRightEach(rest, shift);
            TLanes dropped = TLanes.SubtractInt(rest, TLanes.ShiftLeftEach(kept, shift));
            TLanes half = TLanes.ShiftLeftEach(_one, TLanes.SubtractInt(shift, _one));
            TLanes body = TLanes.AddInt(start, kept);
            TLanes up = TLanes.GreaterInt(TLanes.AddInt(dropped, TLanes.And(body, _one)), half);
            body = TLanes.SubtractInt(body, up);
            body = TLanes.Select(TLanes.GreaterInt(default, value), TLanes.SubtractInt(_modulus, body), body);
            body = TLanes.Select(TLanes.GreaterInt(magnitude, default), body, default);
            return TLanes.Select(TLanes.GreaterInt(magnitude, _lastFinite), _bodyModulus, body);
        }
    }
}
