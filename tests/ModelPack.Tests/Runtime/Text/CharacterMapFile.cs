using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>Writes SentencePiece's table of characters: a double array in the units of darts-clone, then the texts. Units are placed at the first base that no other node has and where all children fit.</summary>
internal static class CharacterMapFile
{
    public static string Base64(params (string From, string To)[] rules) => Convert.ToBase64String(Write(rules));

    public static byte[] Write(params (string From, string To)[] rules)
    {
        var texts = new MemoryStream();
        var keys = new List<(byte[] Key, uint Value)>();
        foreach ((string from, string to) in rules)
        {
            keys.Add((Encoding.UTF8.GetBytes(from), (uint)texts.Position));
            texts.Write([.. Encoding.UTF8.GetBytes(to), 0]);
        }

        var units = new SortedDictionary<uint, uint> { [0] = 0 };
        Place(0, keys, 0, units, []);
        uint bytes = 4 * ((units.Keys.Max() | 0xFF) + 1); // Whole blocks of 256, so that no label leads outside.
        byte[] file = new byte[4 + bytes + texts.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(file, bytes);
        foreach ((uint at, uint unit) in units)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(4 + (int)(4 * at)), unit);
        }

        texts.ToArray().CopyTo(file, file.Length - texts.Length);
        return file;
    }

    private static void Place(uint node, List<(byte[] Key, uint Value)> keys, int depth, SortedDictionary<uint, uint> units, HashSet<uint> bases)
    {
        ILookup<byte, (byte[] Key, uint Value)> children = keys.ToLookup(k => k.Key.Length == depth ? (byte)0 : k.Key[depth]);
        uint target = 1;
        while (bases.Contains(target) || children.Any(c => units.ContainsKey(target ^ c.Key)))
        {
            target++;
        }

        bases.Add(target);
        units[node] |= (node ^ target) << 10;
        foreach (IGrouping<byte, (byte[] Key, uint Value)> child in children)
        {
            units[target ^ child.Key] = child.Key == 0 ? child.Single().Value | (1u << 31) : child.Key;
        }

        foreach (IGrouping<byte, (byte[] Key, uint Value)> child in children)
        {
            if (child.Key == 0)
            {
                units[node] |= 1u << 8;
            }
            else
            {
                Place(target ^ child.Key, [.. child], depth + 1, units, bases);
            }
        }
    }
}
