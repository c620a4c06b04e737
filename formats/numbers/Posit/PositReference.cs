namespace ModelPack.Numbers;

/// <summary>Posits one value at a time, by their definition: the oracle for <see cref="PositKernel{TLanes}"/>.</summary>
internal static class PositReference
{
    /// <summary>The posit of <paramref name="bits"/> bits nearest on the bit string, ties to the even code.</summary>
    public static int Encode(float value, int bits, int es)
    {
        int body = bits - 1;
        int nar = 1 << body;
        if (!float.IsFinite(value))
        {
            return nar;
        }

        if (value == 0)
        {
            return 0;
        }

        double magnitude = Math.Abs((double)value);
        double largest = Math.ScaleB(1, (bits - 2) << es);
        int code;
        if (magnitude >= largest)
        {
            code = nar - 1;
        }
        else if (magnitude <= 1 / largest)
        {
            code = 1;
        }
        else
        {
            // Regime, exponent and 52 bits of fraction written side by side, then cut to the width of the body.
            long raw = BitConverter.DoubleToInt64Bits(magnitude);
            int exponent = (int)(raw >> 52) - 1023;
            int regime = exponent >> es;
            int length = regime >= 0 ? regime + 2 : 1 - regime;
            UInt128 text = regime >= 0 ? ((UInt128)1 << (regime + 2)) - 2 : 1;
            text = (text << es) | (uint)(exponent & ((1 << es) - 1));
            text = (text << 52) | (ulong)(raw & ((1L << 52) - 1));
            int drop = length + es + 52 - body;
            UInt128 kept = text >> drop;
            UInt128 rest = text - (kept << drop);
            UInt128 half = (UInt128)1 << (drop - 1);
            code = (int)kept + (rest > half || (rest == half && (kept & 1) == 1) ? 1 : 0);
        }

        return value < 0 ? (1 << bits) - code : code;
    }

    /// <summary>The value of a code, exact for every configuration here; NaN for NaR.</summary>
    public static float Decode(int code, int bits, int es)
    {
        int nar = 1 << (bits - 1);
        if (code == 0)
        {
            return 0;
        }

        if (code == nar)
        {
            return float.NaN;
        }

        bool negative = code > nar;
        int body = negative ? (1 << bits) - code : code;
        int at = bits - 2;
        int first = (body >> at) & 1;
        int run = 0;
        while (at >= 0 && ((body >> at) & 1) == first)
        {
            run++;
            at--;
        }

        // at is the terminator; what lies below it are the exponent's bits, the missing ones 0, and the fraction.
        int regime = first == 1 ? run - 1 : -run;
        int exponent = 0;
        for (int i = 0; i < es; i++)
        {
            at--;
            exponent = (exponent << 1) | (at >= 0 ? (body >> at) & 1 : 0);
        }

        int fractionBits = Math.Max(at, 0);
        double fraction = 1 + Math.ScaleB(body & ((1 << fractionBits) - 1), -fractionBits);
        double value = Math.ScaleB(fraction, (regime << es) + exponent);
        return (float)(negative ? -value : value);
    }
}
