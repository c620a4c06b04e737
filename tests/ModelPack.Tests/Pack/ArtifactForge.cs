using System.IO.Hashing;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Pack;

namespace ModelPack.Tests.Pack;

/// <summary>Takes an artifact apart, lets a test change what it says, and puts it together again with hashes that match: what an attacker would write.</summary>
internal sealed class ArtifactForge
{
    private readonly byte[] _data;
    private readonly RootRecord _root;

    public ArtifactForge(byte[] artifact)
    {
        Assert(RootRecord.TryRead(artifact.AsSpan()[^PackLayout.RootBytes..], out _root));
        byte[] stored = artifact.AsSpan((int)_root.ManifestOffset, (int)_root.ManifestStoredBytes).ToArray();
        byte[] manifest = new byte[_root.ManifestRawBytes];
        if (stored.Length == manifest.Length)
        {
            manifest = stored;
        }
        else
        {
            Assert(ModelPack.Codecs.Codecs.Get("lz4").TryDecode(stored, DType.U8, manifest));
        }

        Manifest = Encoding.UTF8.GetString(manifest);
        Header = Encoding.UTF8.GetString(artifact, 8, (int)_root.HeaderBytes - 8);
        Index = artifact.AsSpan((int)_root.IndexOffset, (int)_root.IndexBytes).ToArray();
        _data = artifact.AsSpan(0, (int)_root.ManifestOffset).ToArray();
    }

    public string Manifest { get; set; }

    public string Header { get; set; }

    public byte[] Index { get; set; }

    /// <summary>Changes the header after the entries of the last three parts have been brought up to date.</summary>
    public Func<string, string> EditHeader { get; set; } = h => h;

    public Func<RootRecord, RootRecord> EditRoot { get; set; } = r => r;

    public ChunkRecord Record(int chunk)
    {
        Assert(ChunkRecord.TryRead(Index.AsSpan(chunk * PackLayout.ChunkRecordBytes), out ChunkRecord record));
        return record;
    }

    public void SetRecord(int chunk, ChunkRecord record) => record.Write(Index.AsSpan(chunk * PackLayout.ChunkRecordBytes));

    public byte[] Build()
    {
        byte[] manifest = Encoding.UTF8.GetBytes(Manifest);
        int indexAt = (int)PackLayout.AlignUp(_root.ManifestOffset + manifest.Length, 64);
        int rootAt = (int)PackLayout.AlignUp(indexAt + Index.Length, 64);
        byte[] file = new byte[rootAt + PackLayout.RootBytes];
        _data.CopyTo(file, 0);
        manifest.CopyTo(file, (int)_root.ManifestOffset);
        Index.CopyTo(file, indexAt);

        JsonObject header = JsonNode.Parse(Header)!.AsObject();
        Place(header, PackLayout.ManifestName, _root.ManifestOffset, indexAt);
        Place(header, PackLayout.IndexName, indexAt, rootAt);
        Place(header, PackLayout.RootName, rootAt, file.Length);
        byte[] text = Encoding.UTF8.GetBytes(EditHeader(header.ToJsonString()));
        Span<byte> room = file.AsSpan(8, (int)_root.HeaderBytes - 8);
        text.CopyTo(room);
        room[text.Length..].Fill((byte)' ');
        RootRecord root = _root with
        {
            FileBytes = file.Length,
            HeaderHash = XxHash3.HashToUInt64(file.AsSpan(0, (int)_root.HeaderBytes)),
            ManifestStoredBytes = manifest.Length,
            ManifestRawBytes = manifest.Length,
            ManifestHash = XxHash3.HashToUInt64(manifest),
            IndexOffset = indexAt,
            IndexBytes = Index.Length,
            IndexHash = XxHash3.HashToUInt64(Index),
        };
        EditRoot(root).Write(file.AsSpan(rootAt));
        return file;
    }

    private static void Assert(bool condition)
    {
        if (!condition)
        {
            throw new InvalidOperationException("the artifact to forge is not sound");
        }
    }

    private void Place(JsonObject header, string name, long begin, long end)
    {
        begin -= _root.HeaderBytes;
        end -= _root.HeaderBytes;
        header[name] = new JsonObject { ["dtype"] = "U8", ["shape"] = new JsonArray(end - begin), ["data_offsets"] = new JsonArray(begin, end) };
    }
}
