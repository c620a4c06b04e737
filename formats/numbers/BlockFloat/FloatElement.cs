using System.Runtime.CompilerServices;

namespace ModelPack.Numbers;

/// <summary>
/// Small floats by bit arithmetic on f32. Encoding saturates, then rounds normal magnitudes by adding half a unit less one and the bit that decides ties, subnormal ones by adding the power
/// of two whose quantum is theirs; both are computed and one selected.
/// </summary>
internal readonly struct FloatElement<TLanes> : IElement<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private readonly int _shift;
    private readonly int _signShift;
    private readonly bool _signed;
    private readonly bool _hasSpecials;
    private readonly bool _zeroIsUnsigned;
    private readonly TLanes _magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
    private readonly TLanes _max;
    private readonly TLanes _one = TLanes.CreateInt(1);
    private readonly TLanes _halfMinusOne;
    private readonly TLanes _magic;
    private readonly TLanes _leastNormal;
    private readonly TLanes _infinity = TLanes.CreateInt(0x7F800000);
    private readonly TLanes _nan;
    private readonly TLanes _codeMask;
    private readonly TLanes _maxCode;
    private readonly TLanes _leastNormalCode;
    private readonly TLanes _f32Rebias;
    private readonly TLanes _exponentStep = TLanes.CreateInt(1 << 23);
    private readonly TLanes _specialBits;
    private readonly TLanes _specialFraction;

    public FloatElement(ElementFormat e)
    {
        _shift = 23 - e.MantissaBits;
        _signed = e.Signed;
        _signShift = e.ExponentBits + e.MantissaBits;
        _hasSpecials = e.Specials is FloatSpecials.Fn or FloatSpecials.Ieee;
        _zeroIsUnsigned = e.Specials == FloatSpecials.Fnuz;
        _max = TLanes.Create(e.Max);
        _halfMinusOne = TLanes.CreateInt((1 << (_shift - 1)) - 1);
        _magic = TLanes.CreateInt((128 - e.Bias - e.MantissaBits + 23) << 23);
        _leastNormal = TLanes.CreateInt((128 - e.Bias) << 23);
        _nan = TLanes.CreateInt(e.NanCode);
        _codeMask = TLanes.CreateInt((1 << _signShift) - 1);
        _maxCode = TLanes.CreateInt(e.MaxCode);
        _leastNormalCode = TLanes.CreateInt(1 << e.MantissaBits);
        _f32Rebias = TLanes.CreateInt((127 - e.Bias) << 23);
        _specialBits = TLanes.CreateInt(e.Specials == FloatSpecials.Ieee ? 0x7F800000 : 0x7FC00000);
        _specialFraction = TLanes.CreateInt(e.Specials == FloatSpecials.Ieee ? 0x7FFFFF : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Encode(TLanes values) => WithSign(Magnitude(TLanes.And(values, _magnitudeMask)), values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes EncodeWithNan(TLanes values)
    {
        TLanes magnitude = TLanes.And(values, _magnitudeMask);
        return WithSign(TLanes.Select(TLanes.GreaterInt(magnitude, _infinity), _nan, Magnitude(magnitude)), values);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Decode(TLanes codes)
    {
        TLanes magnitude = TLanes.And(codes, _codeMask);
        TLanes shifted = TLanes.ShiftLeft(magnitude, _shift);
        TLanes bits = TLanes.AddInt(shifted, _f32Rebias);

        // Subnormal: with the exponent of the least normal number and an implicit one too much.
        TLanes subnormal = TLanes.Subtract(TLanes.AddInt(bits, _exponentStep), _leastNormal);
        TLanes value = TLanes.Select(TLanes.GreaterInt(_leastNormalCode, magnitude), subnormal, bits);
        if (_hasSpecials)
        {
            value = TLanes.Select(TLanes.GreaterInt(magnitude, _maxCode), TLanes.Or(_specialBits, TLanes.And(shifted, _specialFraction)), value);
        }

        if (!_signed)
        {
            return value;
        }

        TLanes sign = TLanes.ShiftLeft(TLanes.ShiftRight(codes, _signShift), 31);
        TLanes result = TLanes.Or(value, sign);

        // FNUZ: only the code of -0 has exactly the sign bit.
        return _zeroIsUnsigned ? TLanes.Select(TLanes.GreaterInt(_one, TLanes.AddInt(magnitude, TLanes.SubtractInt(_one, TLanes.ShiftRight(codes, _signShift)))), _specialBits, result) : result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TLanes Magnitude(TLanes magnitude)
    {
        magnitude = TLanes.Min(magnitude, _max);

        // The exponent is rebased first: without significand bits its last bit is what makes a code even.
        TLanes rebased = TLanes.SubtractInt(magnitude, _f32Rebias);
        TLanes odd = TLanes.And(TLanes.ShiftRight(rebased, _shift), _one);
        TLanes normal = TLanes.ShiftRight(TLanes.AddInt(TLanes.AddInt(rebased, _halfMinusOne), odd), _shift);
        TLanes subnormal = TLanes.SubtractInt(TLanes.Add(magnitude, _magic), _magic);
        return TLanes.Select(TLanes.GreaterInt(_leastNormal, magnitude), subnormal, normal);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TLanes WithSign(TLanes code, TLanes values)
    {
        if (!_signed)
        {
            return code;
        }

        TLanes sign = TLanes.ShiftLeft(TLanes.ShiftRight(values, 31), _signShift);
        if (_zeroIsUnsigned)
        {
            sign = TLanes.And(sign, TLanes.GreaterInt(code, default));
        }

        return TLanes.Or(code, sign);
    }
}
