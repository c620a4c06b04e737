using System.Collections.Immutable;
using Google.Protobuf.Collections;
using ModelPack.Containers.Onnx.Schema;

namespace ModelPack.Containers.Onnx;

/// <summary>Opset imports as a table by normalised domain, and back without losing order and spelling.</summary>
internal static class OpsetTable
{
    /// <summary>Versions by domain. A domain that is imported twice gets its highest version.</summary>
    public static ImmutableSortedDictionary<string, long> Read(RepeatedField<OperatorSetIdProto> imports)
    {
        var table = ImmutableSortedDictionary.CreateBuilder<string, long>(StringComparer.Ordinal);
        foreach (OperatorSetIdProto import in imports)
        {
            string domain = Normalise(import.Domain);
            table[domain] = table.TryGetValue(domain, out long version) ? Math.Max(version, import.Version) : import.Version;
        }

        return table.ToImmutable();
    }

    /// <summary>Changes <paramref name="imports"/> as little as possible so that it gives <paramref name="table"/>.</summary>
    public static void Write(RepeatedField<OperatorSetIdProto> imports, ImmutableSortedDictionary<string, long> table)
    {
        ImmutableSortedDictionary<string, long> present = Read(imports);
        for (int i = imports.Count - 1; i >= 0; i--)
        {
            string domain = Normalise(imports[i].Domain);
            if (!table.TryGetValue(domain, out long version))
            {
                imports.RemoveAt(i);
            }
            else if (present[domain] != version)
            {
                imports[i].Version = version;
            }
        }

        foreach ((string domain, long version) in table)
        {
            if (!present.ContainsKey(domain))
            {
                imports.Add(new OperatorSetIdProto { Domain = domain, Version = version });
            }
        }
    }

    private static string Normalise(string domain) => domain == GraphReader.StandardDomain ? "" : domain;
}
