using System.Buffers.Binary;

namespace ModelPack.Kernels.Emit;

/// <summary>General registers that a called function may change under every calling convention of x64.</summary>
internal enum Gpr
{
    /// <summary>Counter.</summary>
    Rax = 0,

    /// <summary>First argument on Windows.</summary>
    Rcx = 1,

    /// <summary>Pointer.</summary>
    Rdx = 2,

    /// <summary>First argument elsewhere; on Windows the caller's.</summary>
    Rdi = 7,

    /// <summary>Pointer.</summary>
    R8 = 8,

    /// <summary>Pointer.</summary>
    R9 = 9,

    /// <summary>Pointer.</summary>
    R10 = 10,

    /// <summary>Pointer.</summary>
    R11 = 11,
}

/// <summary>A place in memory: base register plus displacement.</summary>
/// <param name="Base">The register.</param>
/// <param name="Displacement">Bytes.</param>
internal readonly record struct Mem(Gpr Base, int Displacement)
{
    public static Mem operator +(Mem at, int bytes) => at with { Displacement = at.Displacement + bytes };
}

/// <summary>
/// Writes machine code of x64: the few instructions of AVX-512 on whole 512-bit vectors (EVEX; one of them with a mask) that kernels made at run time are of, a few on 256 bits (VEX), and loops around them. Registers of vectors are numbers from 0 to 31.
/// Encodings: Intel 64 Architectures Software Developer's Manual, volume 2, 2.7 (EVEX, compressed displacements).
/// </summary>
internal sealed class X64Assembler
{
    private const int VectorBytes = 64;

    /// <summary>Register of the one mask in use.</summary>
    private const int Mask = 1;

    private readonly List<byte> _code = [];

    /// <summary>What was written.</summary>
    public ReadOnlySpan<byte> Code => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_code);

    /// <summary>Where the next instruction goes.</summary>
    public int Position => _code.Count;

    /// <summary>to = 64 bytes of memory.</summary>
    public void Load(int to, Mem from) => Evex(Opcode.Move, to, 0, from, broadcast: false);

    /// <summary>64 bytes of memory = from.</summary>
    public void Store(Mem to, int from) => Evex(Opcode.Store, from, 0, to, broadcast: false);

    /// <summary>to = 4 bytes of memory in every lane.</summary>
    public void Broadcast(int to, Mem from) => Evex(Opcode.Broadcast, to, 0, from, broadcast: false, sizeBytes: sizeof(int));

    /// <summary>The 64 bits at an address in every two lanes (AVX512_DQ).</summary>
    public void BroadcastPair(int to, Mem from) => Evex(Opcode.BroadcastPair, to, 0, from, broadcast: false, sizeBytes: sizeof(long));

    /// <summary>All bits of to = 0.</summary>
    public void Clear(int to) => Evex(Opcode.Xor, to, to, to);

    /// <summary>to = left and right.</summary>
    public void And(int to, int left, int right) => Evex(Opcode.And, to, left, right);

    /// <summary>to = left or right.</summary>
    public void Or(int to, int left, int right) => Evex(Opcode.Or, to, left, right);

    /// <summary>Integers to = left + right.</summary>
    public void AddIntegers(int to, int left, int right) => Evex(Opcode.AddIntegers, to, left, right);

    /// <summary>f32 to = left + right.</summary>
    public void AddSingles(int to, int left, int right) => Evex(Opcode.AddSingles, to, left, right);

    /// <summary>Words to = lower halves of each 16 bytes: bytes of low, then of high.</summary>
    public void UnpackLowBytes(int to, int low, int high) => Evex(Opcode.UnpackLowBytes, to, low, high);

    /// <summary>Words to = upper halves of each 16 bytes: bytes of low, then of high.</summary>
    public void UnpackHighBytes(int to, int low, int high) => Evex(Opcode.UnpackHighBytes, to, low, high);

    /// <summary>32-bit lanes to = from shifted left.</summary>
    public void ShiftLeft(int to, int from, int bits) => Shift(Opcode.ShiftIntegers, 6, to, from, bits);

    /// <summary>32-bit lanes to = from shifted right, zeros coming in.</summary>
    public void ShiftRight(int to, int from, int bits) => Shift(Opcode.ShiftIntegers, 2, to, from, bits);

    /// <summary>32-bit lanes to = from shifted right, signs coming in.</summary>
    public void ShiftRightSigned(int to, int from, int bits) => Shift(Opcode.ShiftIntegers, 4, to, from, bits);

    /// <summary>to = 16 bytes of memory as 32-bit lanes.</summary>
    public void WidenBytes(int to, Mem from) => Evex(Opcode.WidenBytes, to, 0, from, broadcast: false, sizeBytes: 16);

    /// <summary>to = 16 words of memory as 32-bit lanes.</summary>
    public void WidenWords(int to, Mem from) => Evex(Opcode.WidenWords, to, 0, from, broadcast: false, sizeBytes: 32);

    /// <summary>to = 16 f16 of memory as f32.</summary>
    public void WidenHalves(int to, Mem from) => Evex(Opcode.WidenHalves, to, 0, from, broadcast: false, sizeBytes: 32);

    /// <summary>The lower half of to (0 to 7) = 8 f16 of memory as f32, for machines without AVX-512 (F16C).</summary>
    public void WidenEightHalves(int to, Mem from) => Vex(Opcode.WidenHalves, to, from);

    /// <summary>32 bytes of memory = the lower half of from (0 to 7), for machines without AVX-512.</summary>
    public void StoreEight(Mem to, int from) => Vex(Opcode.Store, from, to);

    /// <summary>Bytes to = table[lower six bits of the bytes of indices] (AVX512_VBMI).</summary>
    public void PermuteBytes(int to, int indices, int table) => Evex(Opcode.PermuteBytes, to, indices, table);

    /// <summary>f32 to = table[lower four bits of the lanes of indices].</summary>
    public void PermuteSingles(int to, int indices, int table) => Evex(Opcode.PermuteSingles, to, indices, table);

    /// <summary>f32 indices = 32 f32 of two tables[lower five bits of the lanes of indices].</summary>
    public void PermuteSinglesOfTwo(int indices, int lowTable, int highTable) => Evex(Opcode.PermuteSinglesOfTwo, indices, lowTable, highTable);

    /// <summary>Bytes indices = 128 bytes of two tables[lower seven bits of the bytes of indices] (AVX512_VBMI).</summary>
    public void PermuteBytesOfTwo(int indices, int lowTable, int highTable) => Evex(Opcode.PermuteBytesOfTwo, indices, lowTable, highTable);

    /// <summary>Every bit of to = that of <paramref name="function"/> whose number is made of the bits of to (4), second (2) and 64 bytes of memory (1).</summary>
    public void Ternary(int to, int second, Mem third, byte function)
    {
        Evex(Opcode.Ternary, to, second, third, broadcast: false);
        Byte(function);
    }

    /// <summary>The same with a vector for the third.</summary>
    public void Ternary(int to, int second, int third, byte function)
    {
        Evex(Opcode.Ternary, to, second, third);
        Byte(function);
    }

    /// <summary>Mask 1 = the highest bits of all lanes (AVX512_DQ).</summary>
    public void MaskOfSigns(int from) => Evex(Opcode.MaskOfSigns, Mask, 0, from);

    /// <summary>32-bit to = left - right in the lanes of mask 1; the others stay.</summary>
    public void SubtractMasked(int to, int left, int right) => Evex(Opcode.SubtractIntegers, to, left, right, Mask);

    /// <summary>Bytes to = table[lower four bits of the bytes of indices] within each 16 bytes; 0 where an index has its highest bit.</summary>
    public void ShuffleBytes(int to, int table, int indices) => Evex(Opcode.ShuffleBytes, to, table, indices);

    /// <summary>to = the lower half of a general register in every lane.</summary>
    public void Broadcast(int to, Gpr from) => Evex(Opcode.BroadcastRegister, to, 0, (int)from);

    /// <summary>to += sums of four products of unsigned bytes and the four signed bytes at an address.</summary>
    public void DotBytes(int to, int unsigned, Mem signed) => Evex(Opcode.DotBytes, to, unsigned, signed, broadcast: true);

    /// <summary>to += sums of four products of unsigned bytes and signed bytes (AVX512_VNNI).</summary>
    public void DotBytes(int to, int unsigned, int signed) => Evex(Opcode.DotBytes, to, unsigned, signed);

    /// <summary>to += sums of two products of BF16 (AVX512_BF16).</summary>
    public void DotBFloat16(int to, int left, int right) => Evex(Opcode.DotBFloat16, to, left, right);

    /// <summary>The same with 4 bytes of memory in every lane.</summary>
    public void DotBFloat16(int to, int left, Mem right) => Evex(Opcode.DotBFloat16, to, left, right, broadcast: true);

    /// <summary>to = integers left x the integer at an address.</summary>
    public void MultiplyIntegers(int to, int left, Mem right) => Evex(Opcode.MultiplyIntegers, to, left, right, broadcast: true);

    /// <summary>to = left x right in f32.</summary>
    public void Multiply(int to, int left, int right) => Evex(Opcode.Multiply, to, left, right);

    /// <summary>to = left x the f32 at an address.</summary>
    public void Multiply(int to, int left, Mem right) => Evex(Opcode.Multiply, to, left, right, broadcast: true);

    /// <summary>to += left x right, rounded once.</summary>
    public void MultiplyAdd(int to, int left, int right) => Evex(Opcode.MultiplyAdd, to, left, right);

    /// <summary>to = integers as f32.</summary>
    public void ToSingle(int to, int from) => Evex(Opcode.ToSingle, to, 0, from);

    /// <summary>to = 8 bytes of memory.</summary>
    public void Load(Gpr to, Mem from)
    {
        Byte(0x48 | (((int)to >> 3) << 2) | ((int)from.Base >> 3));
        Byte(0x8B);
        ModRm((int)to & 7, from, 1);
    }

    /// <summary>to = from.</summary>
    public void Move(Gpr to, Gpr from)
    {
        Byte(0x48 | (((int)from >> 3) << 2) | ((int)to >> 3));
        Byte(0x89);
        Byte(0xC0 | (((int)from & 7) << 3) | ((int)to & 7));
    }

    /// <summary>to = a constant.</summary>
    public void Set(Gpr to, int value)
    {
        Byte(0x48 | ((int)to >> 3));
        Byte(0xC7);
        Byte(0xC0 | ((int)to & 7));
        Int(value);
    }

    /// <summary>to += a constant.</summary>
    public void Add(Gpr to, int value)
    {
        Byte(0x48 | ((int)to >> 3));
        Byte(0x81);
        Byte(0xC0 | ((int)to & 7));
        Int(value);
    }

    /// <summary>counter -= 1; where it is not 0, on from <paramref name="target"/>, a <see cref="Position"/> before.</summary>
    public void Loop(Gpr counter, int target)
    {
        Byte(0x48 | ((int)counter >> 3));
        Byte(0xFF);
        Byte(0xC8 | ((int)counter & 7));
        Byte(0x0F);
        Byte(0x85);
        Int(target - (Position + sizeof(int)));
    }

    /// <summary>A read of the cache line at an address begins.</summary>
    public void Prefetch(Mem at)
    {
        if ((int)at.Base >= 8)
        {
            Byte(0x41);
        }

        Byte(0x0F);
        Byte(0x18);
        ModRm(1, at, 1);
    }

    /// <summary>Ends the function; upper halves of vectors are cleared, as calling conventions want.</summary>
    public void Return()
    {
        Byte(0xC5);
        Byte(0xF8);
        Byte(0x77);
        Byte(0xC3);
    }

    private void Shift(Opcode opcode, int operation, int to, int from, int bits)
    {
        Evex(opcode, operation, to, from);
        Byte(bits);
    }

    private void Evex(Opcode opcode, int reg, int vvvv, int rm, int mask = 0)
    {
        Prefix(opcode, reg, vvvv, rmExtension: (rm >> 4) & 1, rmBase: (rm >> 3) & 1, broadcast: false, mask);
        Byte(0xC0 | ((reg & 7) << 3) | (rm & 7));
    }

    private void Evex(Opcode opcode, int reg, int vvvv, Mem rm, bool broadcast, int sizeBytes = VectorBytes)
    {
        Prefix(opcode, reg, vvvv, rmExtension: 0, rmBase: (int)rm.Base >> 3, broadcast);
        ModRm(reg & 7, rm, broadcast ? sizeof(int) : sizeBytes);
    }

    /// <summary>As <see cref="Evex(Opcode, int, int, Mem, bool, int)"/> on 256 bits of the first eight vectors.</summary>
    private void Vex(Opcode opcode, int reg, Mem rm)
    {
        const int length256 = 1 << 2;
        Byte(0xC4);
        Byte(0xC0 | (Not((int)rm.Base >> 3) << 5) | (((int)opcode >> 12) & 0xF));
        Byte((0xF << 3) | length256 | (((int)opcode >> 8) & 0xF));
        Byte((int)opcode & 0xFF);
        ModRm(reg, rm, 1);
    }

    /// <summary>The four bytes in front and the opcode; W is 0, vectors are 512 bits.</summary>
    private void Prefix(Opcode opcode, int reg, int vvvv, int rmExtension, int rmBase, bool broadcast, int mask = 0)
    {
        int map = ((int)opcode >> 12) & 0xF;
        int prefix = ((int)opcode >> 8) & 0xF;
        Byte(0x62);
        Byte((Not(reg >> 3) << 7) | (Not(rmExtension) << 6) | (Not(rmBase) << 5) | (Not(reg >> 4) << 4) | map);
        Byte(((~vvvv & 0xF) << 3) | (1 << 2) | prefix);
        Byte((2 << 5) | ((broadcast ? 1 : 0) << 4) | (Not(vvvv >> 4) << 3) | mask);
        Byte((int)opcode & 0xFF);
    }

    /// <summary>Operand in memory; displacements that are a small multiple of <paramref name="unit"/> take a byte.</summary>
    private void ModRm(int reg, Mem at, int unit)
    {
        int rm = (int)at.Base & 7;
        int units = at.Displacement / unit;
        bool isShort = units * unit == at.Displacement && units is >= sbyte.MinValue and <= sbyte.MaxValue;
        Byte((isShort ? 0x40 : 0x80) | (reg << 3) | rm);
        if (isShort)
        {
            Byte(units & 0xFF);
        }
        else
        {
            Int(at.Displacement);
        }
    }

    private static int Not(int bit) => ~bit & 1;

    private void Byte(int value) => _code.Add((byte)value);

    private void Int(int value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        _code.AddRange(bytes);
    }

    /// <summary>Map of opcodes (1: 0F, 2: 0F38, 3: 0F3A), mandatory prefix (1: 66, 2: F3) and opcode.</summary>
    private enum Opcode
    {
        Move = 0x1010,
        Store = 0x1011,
        AddSingles = 0x1058,
        Multiply = 0x1059,
        ToSingle = 0x105B,
        And = 0x11DB,
        Xor = 0x11EF,
        Or = 0x11EB,
        SubtractIntegers = 0x11FA,
        AddIntegers = 0x11FE,
        UnpackLowBytes = 0x1160,
        UnpackHighBytes = 0x1168,
        ShiftIntegers = 0x1172,
        ShuffleBytes = 0x2100,
        WidenHalves = 0x2113,
        PermuteSingles = 0x2116,
        BroadcastPair = 0x2119,
        WidenBytes = 0x2131,
        WidenWords = 0x2133,
        BroadcastRegister = 0x217C,
        PermuteBytes = 0x218D,
        PermuteBytesOfTwo = 0x2175,
        PermuteSinglesOfTwo = 0x2177,
        MultiplyIntegers = 0x2140,
        DotBytes = 0x2150,
        MaskOfSigns = 0x2239,
        DotBFloat16 = 0x2252,
        Broadcast = 0x2158,
        MultiplyAdd = 0x21B8,
        Ternary = 0x3125,
    }
}
