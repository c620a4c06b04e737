using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Codecs;

/// <summary>Values to palette indices: a hash table of open addressing over memory of the caller, never more than a quarter full.</summary>
internal readonly ref struct PaletteMap
{
    /// <summary>Slots of the table.</summary>
    public const int Slots = 1024;

    private const int Shift = 64 - 10;
    private const ulong Multiplier = 0x9E3779B97F4A7C15UL;

    /// <summary>Index of a slot that is free.</summary>
    private const ushort Free = ushort.MaxValue;

    private readonly Span<ulong> _keys;
    private readonly Span<ushort> _indices;

    /// <param name="keys">Room for <see cref="Slots"/> keys.</param>
    /// <param name="indices">Room for as many indices.</param>
    public PaletteMap(Span<ulong> keys, Span<ushort> indices)
    {
        _keys = keys[..Slots];
        _indices = indices[..Slots];
        _indices.Fill(Free);
    }

    /// <summary>Numbers the different elements in the order of their appearance; false when there are more than a palette may have.</summary>
    /// <param name="words">The elements.</param>
    /// <param name="palette">Room for <see cref="PaletteKernel.MaxEntries"/> of them.</param>
    /// <param name="indices">Receives the number of every element.</param>
    /// <param name="entries">How many different ones there are.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryIndex<TWord>(ReadOnlySpan<TWord> words, Span<ulong> palette, Span<byte> indices, out int entries)
        where TWord : unmanaged, IBinaryInteger<TWord>
    {
        entries = 0;
        ref ulong keys = ref MemoryMarshal.GetReference(_keys);
        ref ushort numbers = ref MemoryMarshal.GetReference(_indices);
        for (int i = 0; i < words.Length; i++)
        {
            ulong value = ulong.CreateTruncating(words[i]);
            uint slot = (uint)((value * Multiplier) >> Shift);
            while (Unsafe.Add(ref keys, slot) != value || Unsafe.Add(ref numbers, slot) == Free)
            {
                if (Unsafe.Add(ref numbers, slot) == Free)
                {
                    if (entries == PaletteKernel.MaxEntries)
                    {
                        return false;
                    }

                    Unsafe.Add(ref keys, slot) = value;
                    Unsafe.Add(ref numbers, slot) = (ushort)entries;
                    palette[entries++] = value;
                    break;
                }

                slot = (slot + 1) & (Slots - 1);
            }

            indices[i] = (byte)Unsafe.Add(ref numbers, slot);
        }

        return true;
    }
}
