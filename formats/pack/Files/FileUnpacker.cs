using System.Security.Cryptography;

namespace ModelPack.Pack;

/// <summary>Restores packed files byte for byte.</summary>
public static class FileUnpacker
{
    /// <summary>Decoded bytes in flight; two of these are held.</summary>
    private const int WindowBytes = 16 << 20;

    /// <summary>True when the artifact holds packed files.</summary>
    public static bool HoldsFiles(PackReader reader) => reader.Blobs.ContainsKey(FilePacker.TableBlob) && reader.Metadata.GetValueOrDefault("kind") == "files";

    /// <summary>
    /// Restores all files. A packed folder, or a destination that is a folder: every file at its relative path inside it. Otherwise the main file takes exactly
    /// the path <paramref name="destinationPath"/> and the others their relative paths beside it. Files appear complete and verified, or not at all.
    /// </summary>
    /// <param name="reader">The artifact.</param>
    /// <param name="destinationPath">Where to.</param>
    /// <param name="threads">Decoding threads.</param>
    /// <param name="progress">Told about bytes written.</param>
    /// <param name="cancellation">Stops; nothing is left behind.</param>
    /// <returns>The paths written, the main file first.</returns>
    /// <exception cref="ModelPackException">
    /// MP1315 the files are stored as differences and the artifact was opened without their base; MP1312 the artifact holds no files; MP1313 its table is damaged or names a path outside the destination; MP1309 a damaged chunk; MP1314 a hash that
    /// does not match; MP4002 the destination cannot be written.
    /// </exception>
    public static IReadOnlyList<string> Extract(
        PackReader reader, string destinationPath, int threads = 1, IProgress<PackProgress>? progress = null, CancellationToken cancellation = default)
    {
        FileTable table = FileTable.Read(reader);
        string[] targets = Targets(table, destinationPath, reader.File.Path);
        long total = table.Files.Sum(f => f.LengthBytes);
        long done = 0;
        var outputs = new List<OutputFile>();
        try
        {
            for (int i = 0; i < targets.Length; i++)
            {
                FileTable.Entry file = table.Files[i];
                var output = new OutputFile(targets[i]);
                outputs.Add(output);
                Restore(reader, file, output, threads, bytes => progress?.Report(new PackProgress(done += bytes, total, file.Path)), cancellation);
            }

            foreach (OutputFile output in outputs)
            {
                output.Commit();
            }

            return targets;
        }
        finally
        {
            foreach (OutputFile output in outputs)
            {
                output.Dispose();
            }
        }
    }

    /// <summary>Restores all files without writing them: true content is proved by their SHA-256.</summary>
    /// <param name="reader">The artifact, opened with its base if it needs one.</param>
    /// <param name="threads">Decoding threads.</param>
    /// <param name="progress">Told about bytes restored.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP1314 a file is not what was packed; otherwise as <see cref="Extract"/>.</exception>
    public static void Check(PackReader reader, int threads = 1, IProgress<PackProgress>? progress = null, CancellationToken cancellation = default)
    {
        FileTable table = FileTable.Read(reader);
        long total = table.Files.Sum(f => f.LengthBytes);
        long done = 0;
        foreach (FileTable.Entry file in table.Files)
        {
            Restore(reader, file, null, threads, bytes => progress?.Report(new PackProgress(done += bytes, total, file.Path)), cancellation);
        }
    }

    private static string[] Targets(FileTable table, string destination, string artifact)
    {
        bool inside = table.Folder || Directory.Exists(destination) || Path.EndsInDirectorySeparator(destination);
        string folder = inside ? destination : Path.GetDirectoryName(Path.GetFullPath(destination)) ?? destination;
        string[] targets = new string[table.Files.Length];
        for (int i = 0; i < targets.Length; i++)
        {
            targets[i] = i == 0 && !inside ? destination : Path.Combine(folder, table.Files[i].Path);
            for (int k = 0; k < i; k++)
            {
                if (Path.GetFullPath(targets[k]) == Path.GetFullPath(targets[i]))
                {
                    throw new ModelPackException(ErrorCodes.ArtifactFileTable, $"two packed files would be restored as '{targets[i]}'", artifact);
                }
            }
        }

        return targets;
    }

    private static void Restore(PackReader reader, FileTable.Entry file, OutputFile? output, int threads, Action<long> report, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        NativeBuffer[] buffers = [new(Math.Min(WindowBytes, 1 + (int)Math.Min(file.LengthBytes, WindowBytes))), new(Math.Min(WindowBytes, 1 + (int)Math.Min(file.LengthBytes, WindowBytes)))];
        Task writing = Task.CompletedTask;
        try
        {
            long position = 0;
            int turn = 0;
            foreach (List<Piece> window in Windows(file))
            {
                // While one window is decoded, the one before is hashed and written.
                NativeBuffer buffer = buffers[turn++ % 2];
                int length = Fill(window, buffer, threads, cancellation);
                writing.GetAwaiter().GetResult();
                long at = position;
                writing = Task.Run(
                    () =>
                    {
                        hash.AppendData(buffer.GetSpan()[..length]);
                        output?.Write(at, buffer.GetSpan()[..length]);
                    },
                    CancellationToken.None);
                position += length;
                report(length);
            }

            writing.GetAwaiter().GetResult();
        }
        finally
        {
            Task.WaitAny([writing], CancellationToken.None);
            foreach (NativeBuffer buffer in buffers)
            {
                buffer.Free();
            }
        }

        if (Convert.ToHexStringLower(hash.GetHashAndReset()) != file.Sha256)
        {
            throw new ModelPackException(ErrorCodes.ArtifactFileHash, $"restored '{file.Path}' differs from the file that was packed", reader.File.Path);
        }
    }

    private static int Fill(List<Piece> window, NativeBuffer buffer, int threads, CancellationToken cancellation)
    {
        int[] starts = new int[window.Count];
        int length = 0;
        for (int i = 0; i < starts.Length; i++)
        {
            starts[i] = length;
            length += window[i].LengthBytes;
        }

        ParallelTiles.Run(
            starts.Length,
            threads,
            i =>
            {
                Piece piece = window[(int)i];
                piece.Data.Read(piece.OffsetBytes, buffer.GetSpan().Slice(starts[i], piece.LengthBytes));
            },
            cancellation);
        return length;
    }

    /// <summary>The file's bytes in order, in pieces that end where chunks end, gathered to windows.</summary>
    private static IEnumerable<List<Piece>> Windows(FileTable.Entry file)
    {
        var window = new List<Piece>();
        int filled = 0;
        foreach (Piece whole in Segments(file))
        {
            Piece piece = whole;
            while (piece.LengthBytes > WindowBytes - filled)
            {
                // Longer than what is left: only possible for pieces of odd chunk sizes, which are split.
                int part = WindowBytes - filled;
                window.Add(piece with { LengthBytes = part });
                yield return window;
                window = [];
                filled = 0;
                piece = piece with { OffsetBytes = piece.OffsetBytes + part, LengthBytes = piece.LengthBytes - part };
            }

            if (piece.LengthBytes > 0)
            {
                window.Add(piece);
                filled += piece.LengthBytes;
            }
        }

        if (window.Count > 0)
        {
            yield return window;
        }
    }

    private static IEnumerable<Piece> Segments(FileTable.Entry file)
    {
        long at = 0;
        long framing = 0;
        foreach (FileTable.TensorEntry tensor in file.Tensors)
        {
            long offset = tensor.OffsetBytes;
            foreach (Piece piece in Split(file.Framing, framing, offset - at, file.FramingChunkBytes))
            {
                yield return piece;
            }

            framing += offset - at;
            foreach (Piece piece in Split(tensor.Data, 0, tensor.Data.LengthBytes, Math.Max(1, tensor.ChunkBytes)))
            {
                yield return piece;
            }

            at = tensor.EndBytes;
        }

        foreach (Piece piece in Split(file.Framing, framing, file.LengthBytes - at, file.FramingChunkBytes))
        {
            yield return piece;
        }
    }

    private static IEnumerable<Piece> Split(TensorData data, long offset, long length, int chunkBytes)
    {
        long end = offset + length;
        while (offset < end)
        {
            int n = (int)Math.Min(end - offset, chunkBytes - (offset % chunkBytes));
            yield return new Piece(data, offset, n);
            offset += n;
        }
    }

    private readonly record struct Piece(TensorData Data, long OffsetBytes, int LengthBytes);
}
