namespace ModelPack.Kernels;

/// <summary>
/// A vector of 32-bit lanes as the tile kernels use it: lane i belongs to row i of a tile. The same bits are read as bytes, integers or f32, whichever an operation names. One kernel, written over this interface,
/// is compiled for every width.
/// </summary>
internal unsafe interface ISimd<TSelf>
    where TSelf : struct, ISimd<TSelf>
{
    /// <summary>Lanes.</summary>
    static abstract int Count { get; }

    static abstract TSelf Zero { get; }

    /// <summary>Count x 4 bytes from anywhere.</summary>
    static abstract TSelf Load(void* source);

    /// <summary>Stores all lanes.</summary>
    static abstract void Store(TSelf value, void* destination);

    /// <summary>The 32 bits at an address, in every lane.</summary>
    static abstract TSelf Broadcast(void* source);

    /// <summary>A number in every lane.</summary>
    static abstract TSelf Create(float value);

    /// <summary>An integer in every lane.</summary>
    static abstract TSelf Create(int value);

    /// <summary>Widens Count bytes to integers.</summary>
    static abstract TSelf WidenBytes(byte* source);

    /// <summary>Widens Count 16-bit words to integers.</summary>
    static abstract TSelf WidenWords(ushort* source);

    static abstract TSelf And(TSelf left, TSelf right);

    static abstract TSelf Or(TSelf left, TSelf right);

    /// <summary>Lanes of <paramref name="negative"/> where the highest bit of <paramref name="sign"/> is set, of <paramref name="other"/> elsewhere.</summary>
    static abstract TSelf SelectBySign(TSelf sign, TSelf negative, TSelf other);

    /// <summary>Logical, per 32-bit lane.</summary>
    static abstract TSelf ShiftRight(TSelf value, int count);

    /// <summary>Per 32-bit lane.</summary>
    static abstract TSelf ShiftLeft(TSelf value, int count);

    /// <summary>Integers to f32.</summary>
    static abstract TSelf ToSingle(TSelf integers);

    static abstract TSelf Add(TSelf left, TSelf right);

    static abstract TSelf Subtract(TSelf left, TSelf right);

    static abstract TSelf Multiply(TSelf left, TSelf right);

    static abstract TSelf Divide(TSelf left, TSelf right);

    /// <summary>The smaller; of no use for NaN.</summary>
    static abstract TSelf Min(TSelf left, TSelf right);

    /// <summary>The larger; of no use for NaN.</summary>
    static abstract TSelf Max(TSelf left, TSelf right);

    /// <summary>left x right + addend, fused where the hardware has it.</summary>
    static abstract TSelf MultiplyAdd(TSelf left, TSelf right, TSelf addend);

    /// <summary>Integer product, low 32 bits.</summary>
    static abstract TSelf MultiplyIntegers(TSelf left, TSelf right);

    static abstract TSelf AddIntegers(TSelf left, TSelf right);

    static abstract TSelf SubtractIntegers(TSelf left, TSelf right);

    /// <summary>table[lane mod 16] of 16 floats; bits above the lowest four are ignored.</summary>
    static abstract TSelf Lookup16(float* table, TSelf indices);

    /// <summary>table[lane]; every lane is a valid index.</summary>
    static abstract TSelf Lookup(float* table, TSelf indices);

    /// <summary>
    /// Values of four columns from codes in paired order (<see cref="MatMul.TileLayout.Paired"/>): table[code], up to 64 values that bf16 holds exactly. Behind 256 floats the table has the upper and the lower bytes of the
    /// bf16, 256 each.
    /// </summary>
    static abstract void Pair64(float* table, TSelf codes, out TSelf a, out TSelf b, out TSelf c, out TSelf d);

    /// <summary>As <see cref="Pair64"/> for 256 values, the upper 128 the negatives of the lower ones.</summary>
    static abstract void PairSigned(float* table, TSelf codes, out TSelf a, out TSelf b, out TSelf c, out TSelf d);

    /// <summary>As <see cref="Pair64"/> for any 256 values.</summary>
    static abstract void Pair256(float* table, TSelf codes, out TSelf a, out TSelf b, out TSelf c, out TSelf d);

    /// <summary>table[byte mod 16] for every byte; the 16-byte table is repeated in every 128 bits of <paramref name="table"/>.</summary>
    static abstract TSelf LookupBytes(TSelf table, TSelf indices);

    /// <summary>Sixteen bytes, repeated in every 128 bits.</summary>
    static abstract TSelf RepeatBytes(byte* table);

    /// <summary>True when <see cref="Dot"/> is one instruction here.</summary>
    static abstract bool HasDot { get; }

    /// <summary>
    /// accumulator + the four products of unsigned bytes of <paramref name="codes"/> (0 to 255) and signed bytes of <paramref name="activations"/> (-127 to 127) in every lane, exact in 32 bits.
    /// </summary>
    static abstract TSelf Dot(TSelf accumulator, TSelf codes, TSelf activations);

    /// <summary>Sums of two products of unsigned and signed bytes, in 16 bits each: where they may not fit, nobody calls it.</summary>
    static abstract TSelf MultiplyBytes(TSelf codes, TSelf activations);

    /// <summary>Per 16 bits.</summary>
    static abstract TSelf AddWords(TSelf left, TSelf right);

    /// <summary>Logical, per 16 bits.</summary>
    static abstract TSelf ShiftRightWords(TSelf value, int count);

    /// <summary>accumulator + the two products of signed 16-bit words in every lane.</summary>
    static abstract TSelf DotWords(TSelf accumulator, TSelf left, TSelf right);

    /// <summary>accumulator + both signed 16-bit words of every lane.</summary>
    static abstract TSelf AddPairs(TSelf accumulator, TSelf words);
}
