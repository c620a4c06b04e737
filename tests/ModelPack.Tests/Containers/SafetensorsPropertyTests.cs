using System.Globalization;
using System.Text;
using CsCheck;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Containers.SafetensorsBytes;

namespace ModelPack.Tests.Containers;

/// <summary>Random valid files with headers as odd as the format allows.</summary>
public sealed class SafetensorsPropertyTests
{
    [Fact]
    public void Random_valid_file_imports_maps_and_round_trips() =>
        Gen.ULong.Sample(seed =>
        {
            byte[] file = RandomFile(new SplitMix(seed));
            using var folder = new TempFolder();
            using ImportedModel imported = Import(folder, file);
            SafetensorsContainerTests.AssertConsistent(folder, file, imported);
            SafetensorsContainerTests.AssertRoundTrip(folder, imported.Model);
        }, iter: 400, threads: 1);

    private static byte[] RandomFile(SplitMix random)
    {
        int count = random.Below(12);
        var entries = new List<string>();
        var names = new HashSet<string>(StringComparer.Ordinal) { SafetensorsHeader.MetadataKey };
        long offset = 0;
        for (int i = 0; i < count; i++)
        {
            string name = RandomText(random);
            if (!names.Add(name))
            {
                continue;
            }

            DType dtype = random.Pick<DType>([.. SafetensorsDTypes.All]);
            long[] dims = [.. Enumerable.Range(0, random.Below(5)).Select(_ => (long)random.Pick<int>([0, 1, 1, 2, 3, 4, 8]))];
            if (new Shape(dims).ElementCount * dtype.BitsPerElement() % 8 != 0)
            {
                dims = [.. dims, 4];
            }

            long end = offset + dtype.StorageBytes(new Shape(dims).ElementCount);
            string[] fields =
            [
                $"{Quote("dtype", random)}{Space(random)}:{Space(random)}{Quote(SafetensorsDTypes.Name(dtype), random)}",
                $"{Quote("shape", random)}:{Space(random)}[{string.Join($"{Space(random)},", dims.Select(d => Space(random) + d.ToString(CultureInfo.InvariantCulture)))}{Space(random)}]",
                string.Create(CultureInfo.InvariantCulture, $"{Quote("data_offsets", random)}:[{Space(random)}{offset},{end}{Space(random)}]"),
            ];
            Shuffle(fields, random);
            entries.Add($"{Quote(name, random)}{Space(random)}:{Space(random)}{{{string.Join($",{Space(random)}", fields)}}}");
            offset = end;
        }

        if (random.Flip())
        {
            string[] keys = [.. Enumerable.Range(0, random.Below(4)).Select(_ => RandomText(random)).Distinct(StringComparer.Ordinal)];
            entries.Add($"{Quote(SafetensorsHeader.MetadataKey, random)}:{{{string.Join(',', keys.Select(k => Quote(k, random) + ":" + Quote(RandomText(random), random)))}}}");
        }

        string[] shuffled = [.. entries];
        Shuffle(shuffled, random);
        byte[] file = File($"{{{Space(random)}{string.Join($"{Space(random)},{Space(random)}", shuffled)}{Space(random)}}}{new string(' ', random.Below(9))}", (int)offset);
        random.Fill(file.AsSpan(file.Length - (int)offset));
        return file;
    }

    private static string RandomText(SplitMix random)
    {
        var text = new StringBuilder();
        for (int i = random.Below(8); i >= 0; i--)
        {
            text.Append(random.Pick<string>(["a", "B", ".", "weight", "0", "\"", "\\", "/", "\n", "\0", "\u007f", "é", "中", "\uFFFF", "😀", "\u2028", " ", "__metadata__"]));
        }

        return text.ToString();
    }

    /// <summary>A JSON string with needless escapes here and there.</summary>
    private static string Quote(string text, SplitMix random)
    {
        var json = new StringBuilder("\"");
        foreach (char c in text)
        {
            bool must = c is '"' or '\\' or < ' ';
            _ = must || random.Below(8) == 0 ? json.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}") : json.Append(c);
        }

        // Half a pair must not be escaped alone: escape whole pairs instead.
        return Repair(json.Append('"').ToString(), text);
    }

    private static string Repair(string json, string text) =>
        text.Any(char.IsSurrogate) ? "\"" + string.Concat(text.Select(c => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"))) + "\"" : json;

    private static string Space(SplitMix random) => random.Pick<string>(["", "", "", " ", "\n", "\t ", "\r\n"]);

    private static void Shuffle(string[] items, SplitMix random)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = random.Below(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }
}
