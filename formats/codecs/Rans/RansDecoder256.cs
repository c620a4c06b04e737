using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>The decoder of whole rows in AVX2: 8 states at a time, their slots gathered from a table of <see cref="RansTable.BuildSlots"/>.</summary>
internal static unsafe class RansDecoder256
{
    /// <summary>True where the loop can run.</summary>
    public static bool IsSupported => Avx2.IsSupported;

    // For every set of lanes that take a word: which word each lane takes, a byte per lane.
    private static readonly ulong[] Takes = BuildTakes();

    /// <summary>Decodes one row of 128 symbols, for which there must be a word for every state.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="slots">The table of the row.</param>
    /// <param name="word">The next word; moved on.</param>
    /// <param name="output">Room for the symbols.</param>
    /// <param name="escapesLow">Which of the first 64 symbols are escapes.</param>
    /// <param name="escapesHigh">Which of the last 64.</param>
    /// <remarks>
    /// A slot's word holds frequency, slot less first slot, symbol and mark from the lowest byte on. Vectors take words in the scalar order of states, 16 a + i; byte 4 i + a of the output is the symbol of
    /// lane i of vector a, so the symbols of four vectors are shifted into each other. scalar: <see cref="RansDecoder.TryRow"/>
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(uint* states, uint* slots, ref byte* word, byte* output, out ulong escapesLow, out ulong escapesHigh)
    {
        fixed (ulong* takes = Takes)
        {
            byte* next = word;
            escapesLow = Half(states, slots, takes, ref next, output);
            escapesHigh = Half(states + 64, slots, takes, ref next, output + 64);
            word = next;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Half(uint* states, uint* slots, ulong* takes, ref byte* word, byte* output)
    {
        Vector256<uint> a0 = Step(states, slots, takes, ref word);
        Vector256<uint> a1 = Step(states + 8, slots, takes, ref word);
        Vector256<uint> b0 = Step(states + 16, slots, takes, ref word);
        Vector256<uint> b1 = Step(states + 24, slots, takes, ref word);
        Vector256<uint> c0 = Step(states + 32, slots, takes, ref word);
        Vector256<uint> c1 = Step(states + 40, slots, takes, ref word);
        Vector256<uint> d0 = Step(states + 48, slots, takes, ref word);
        Vector256<uint> d1 = Step(states + 56, slots, takes, ref word);
        Symbols(a0, b0, c0, d0).Store(output);
        Symbols(a1, b1, c1, d1).Store(output + 32);
        return Marks(a0, b0, c0, d0) | ((ulong)Marks(a1, b1, c1, d1) << 32);
    }

    /// <summary>The next value of 8 states.</summary>
    /// <returns>The words of their slots.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Step(uint* states, uint* slots, ulong* takes, ref byte* word)
    {
        Vector256<uint> x = Vector256.Load(states);
        Vector256<uint> low = Vector256.Create(0xffu);
        Vector256<uint> slot = Avx2.GatherVector256(slots, (x & low).AsInt32(), sizeof(uint));
        x = ((slot & low) * (x >>> 8)) + ((slot >>> 8) & low);

        // States stay below 2^31, so a signed comparison does.
        Vector256<int> below = Vector256.LessThan(x.AsInt32(), Vector256.Create((int)RansFormat.LowerBound));
        uint lanes = below.ExtractMostSignificantBits();
        Vector256<int> order = Avx2.ConvertToVector256Int32((byte*)(takes + lanes));
        Vector256<int> words = Avx2.PermuteVar8x32(Avx2.ConvertToVector256Int32((ushort*)word), order);
        Vector256.ConditionalSelect(below.AsUInt32(), (x << 16) | words.AsUInt32(), x).Store(states);
        word += 2 * (nint)(uint)BitOperations.PopCount(lanes);
        return slot;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Symbols(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d)
    {
        Vector256<uint> symbol = Vector256.Create(0xff_0000u);
        return (((a & symbol) >>> 16) | ((b & symbol) >>> 8) | (c & symbol) | ((d & symbol) << 8)).AsByte();
    }

    /// <summary>The marks of 32 symbols, in the order of <see cref="Symbols"/>: bit 24 of a word.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Marks(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d)
    {
        // The mark becomes the highest bit of the symbol's byte.
        Vector256<uint> mark = Vector256.Create(RansTable.EscapeMark);
        Vector256<uint> bytes = ((a & mark) >>> 17) | ((b & mark) >>> 9) | ((c & mark) >>> 1) | ((d & mark) << 7);
        return bytes.AsByte().ExtractMostSignificantBits();
    }

    private static ulong[] BuildTakes()
    {
        ulong[] takes = new ulong[256];
        for (int lanes = 0; lanes < takes.Length; lanes++)
        {
            int taken = 0;
            for (int lane = 0; lane < 8; lane++)
            {
                if ((lanes >> lane & 1) != 0)
                {
                    takes[lanes] |= (ulong)taken++ << (8 * lane);
                }
            }
        }

        return takes;
    }
}
