using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>A weight of single stored elements, random values at random places, in its execution layout.</summary>
internal sealed unsafe class BenchedMaskedWeight : IDisposable
{
    private byte* _tiles;

    private BenchedMaskedWeight(string format, MaskedWeight weight, byte* tiles)
    {
        Format = format;
        Weight = weight;
        _tiles = tiles;
    }

    /// <summary>The format of the values as it was asked for.</summary>
    public string Format { get; }

    public MaskedWeight Weight { get; }

    /// <summary>Its execution layout.</summary>
    public byte* Tiles => _tiles;

    /// <summary>The structure of <c>bitmap</c>, or of N:M, banks where M is more than 16; null for other texts.</summary>
    /// <exception cref="ModelPackException">MP1022: N or M is none.</exception>
    public static UnitSpec? Structure(string text)
    {
        string[] pair = text.Split(':');
        return text == "bitmap" ? new UnitSpec("bitmap")
            : pair.Length != 2 ? null
            : int.TryParse(pair[0], NumberStyles.None, CultureInfo.InvariantCulture, out int kept) && int.TryParse(pair[1], NumberStyles.None, CultureInfo.InvariantCulture, out int of) && kept > 0 && kept < of && of is 4 or 8 or 16 or 32 or 64
                ? of <= 16 ? new UnitSpec("nm", ("m", pair[1]), ("n", pair[0])) : new UnitSpec("bankbalanced", ("bank", pair[1]), ("kept", pair[0]))
                : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{text}' is not N:M with M of 4, 8, 16, 32 or 64");
    }

    /// <summary>Percent of the elements that are not stored; null where the structure does not say it.</summary>
    public static int? Sparsity(UnitSpec structure)
    {
        int of = structure.Id == "nm" ? structure.Int("m", 0, 4, 16) : structure.Int("bank", 0, 16, 64);
        int kept = structure.Id == "nm" ? structure.Int("n", 0, 1, 15) : structure.Int("kept", 0, 1, 63);
        return of == 0 ? null : 100 - (100 * kept / of);
    }

    /// <summary>Encodes and packs.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format does not exist, or no kernel reads it.</exception>
    public static BenchedMaskedWeight Make(UnitSpec structure, string format, int rows, int columns, int sparsity)
    {
        var random = new SplitMix64(5);
        int group = structure.Id == "nm" ? structure.Int("m", 0, 4, 16) : structure.Int("bank", 0, 16, 64);
        int kept = structure.Id == "nm" ? structure.Int("n", 0, 1, 15) : structure.Int("kept", 0, 1, 63);
        int places = group == 0 ? columns : (columns + group - 1) / group * group;
        int rowBytes = (places + 7) / 8;
        byte[] mask = new byte[checked(rows * rowBytes)];
        for (int r = 0; r < rows; r++)
        {
            Span<byte> row = mask.AsSpan(r * rowBytes, rowBytes);
            for (int first = 0; first < places; first += group == 0 ? 1 : group)
            {
                for (int left = kept; group > 0 && left > 0;)
                {
                    int place = first + (int)(random.Next() % (ulong)group);
                    bool free = ((row[place / 8] >> (place % 8)) & 1) == 0;
                    row[place / 8] |= (byte)(1 << (place % 8));
                    left -= free ? 1 : 0;
                }

                if (group == 0 && (int)(random.Next() % 100) >= sparsity)
                {
                    row[first / 8] |= (byte)(1 << (first % 8));
                }
            }
        }

        int perRow = group == 0 ? 256 : places / group * kept;
        IBoundNumberFormat one = NumberFormats.Bind(UnitSpec.Parse(format), new Shape(1, perRow));
        MaskedWeight weight = MaskedWeight.TryCreate(structure, one.Spec, rows, columns, mask) ?? throw new ModelPackException(ErrorCodes.BadUnitArgument, $"no kernel multiplies with '{structure}' of '{format}'");
        long valueRows = group == 0 ? (weight.Stored + 255) / 256 : rows;
        Memory<byte>[] some = [.. one.Streams.Select(s => (Memory<byte>)new byte[s.BytesPerRow])];
        one.EncodeRows(GaussianError.Sample(perRow, 0.02f), 1, some);
        var streams = new List<byte[]>();
        foreach (string role in weight.Roles)
        {
            int at = one.Streams.ToList().FindIndex(s => s.Role == role);
            byte[] all = GC.AllocateUninitializedArray<byte>(checked((int)(valueRows * one.Streams[at].BytesPerRow)), pinned: true);
            for (int first = 0; first < all.Length; first += some[at].Length)
            {
                some[at].Span.CopyTo(all.AsSpan(first));
            }

            streams.Add(all);
        }

        byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        weight.Pack([.. streams.Select(s => (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(s)))], 0, rows, (nint)tiles);
        GC.KeepAlive(streams);
        HugePages.Use((nint)tiles, weight.Bytes);
        return new BenchedMaskedWeight(format, weight, tiles);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_tiles);
        _tiles = null;
    }
}
