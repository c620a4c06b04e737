using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;
using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;
using ModelPack.Runtime.Prepared;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Toolchain;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Weights that are kept in the form in which they are used: nothing is decoded twice, and nothing that is not whole is used.</summary>
public sealed class PreparedWeightsTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly List<string> _warnings = [];

    private string Kept => _folder["kept"];

    private ModelSessionOptions Options => new() { PreparedFolder = Kept, OnWarning = _warnings.Add };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("int4")]
    [InlineData("bf16")]
    [InlineData("lossless")]
    public void Second_opening_decodes_nothing_and_computes_the_same(string recipe)
    {
        string artifact = Compile("m", recipe);
        byte[] expected = Run(artifact, new ModelSessionOptions());

        (byte[] first, int readFirst) = RunCounted(artifact);
        (byte[] second, int readSecond) = RunCounted(artifact);

        Assert.Equal(expected, first);
        Assert.Equal(expected, second);
        Assert.True(readFirst > 0);
        Assert.Equal(0, readSecond);
        string file = Assert.Single(Directory.GetFileSystemEntries(Kept));
        Assert.Empty(_warnings);
        using PackedModel model = PackedModel.Open(artifact, Options);
        Assert.Equal(recipe != "lossless", model.BuffersInPlace.Count > 0);
        if (OperatingSystem.IsLinux())
        {
            Assert.All(model.BuffersInPlace, buffer => Assert.Equal(file, MappedAt(buffer.Address)));
        }
    }

    [Fact]
    public void Window_of_memory_reads_the_same_file()
    {
        string artifact = Compile("m", "int4");
        byte[] expected = Run(artifact, new ModelSessionOptions());
        foreach (long budget in new long[] { 1, 2000, 1 << 30 })
        {
            using PackedModel model = PackedModel.Open(artifact, Options with { ResidentBytes = budget });
            Residency residency = model.Residency!;
            Assert.True(residency.WeightBytes > 0);
            Assert.Equal(budget == 1 ? residency.WeightBytes : budget == 2000 ? residency.StreamedBytes : 0, residency.StreamedBytes);
            Parallel.For(0, 6, _ => Assert.Equal(expected, model.Run(SampleInputs.Random(model))[0].Bytes.ToArray()));
        }

        Assert.Single(Directory.GetFileSystemEntries(Kept));
    }

    [Fact]
    public void Other_forms_of_the_graph_have_files_of_their_own_where_they_take_other_weights()
    {
        string artifact = Compile("m", "int4");
        byte[] dense = Run(artifact, new ModelSessionOptions { ExpandAll = true });
        _ = Run(artifact, Options);

        Assert.Equal(dense, Run(artifact, Options with { ExpandAll = true }));
        Assert.Equal(dense, Run(artifact, Options with { ExpandAll = true }));
        Assert.Equal(2, Directory.GetFileSystemEntries(Kept).Length);
        Assert.True(Verification.Verify(artifact, prepared: Kept).Ok);
    }

    [Theory]
    [InlineData("magic", 0)]
    [InlineData("version", 8)]
    [InlineData("count", 12)]
    [InlineData("many", 15)]
    [InlineData("length", 16)]
    [InlineData("artifact", 24)]
    [InlineData("key", 56)]
    [InlineData("offset", 88)]
    [InlineData("length of a weight", 96)]
    [InlineData("checksum of a weight", 104)]
    [InlineData("checksum", -1)]
    public void Damaged_header_is_told_and_the_file_made_again(string what, int offset) => Spoil(what, bytes =>
    {
        int at = offset < 0 ? HeaderBytes(bytes) - 1 : offset;
        bytes[at] ^= 0x10;
        return bytes;
    });

    [Theory]
    [InlineData("key", 56)]
    [InlineData("length of a weight", 96)]
    [InlineData("offset", 88)]
    [InlineData("length", 16)]
    public void Header_with_a_right_checksum_and_wrong_content_is_told_and_the_file_made_again(string what, int offset) => Spoil(what, bytes =>
    {
        bytes[offset] ^= 0x10;
        int end = HeaderBytes(bytes) - sizeof(ulong);
        BitConverter.TryWriteBytes(bytes.AsSpan(end), Xxh3.Hash64(bytes.AsSpan(0, end)));
        return bytes;
    });

    [Theory]
    [InlineData("empty", 0)]
    [InlineData("half a header", 60)]
    [InlineData("one byte less", -1)]
    [InlineData("one byte more", 1)]
    public void Other_lengths_are_told_and_the_file_made_again(string what, int length) => Spoil(what, bytes =>
    {
        Array.Resize(ref bytes, length is -1 or 1 ? bytes.Length + length : length);
        return bytes;
    });

    [Fact]
    public void Weights_of_another_artifact_under_this_name_are_told_and_not_used()
    {
        string other = Compile("other", "int8");
        _ = Run(other, Options);
        byte[] foreign = File.ReadAllBytes(Assert.Single(Directory.GetFiles(Kept)));
        Directory.Delete(Kept, recursive: true);
        Spoil("foreign", _ => foreign);
        Assert.Contains("another artifact", Assert.Single(_warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void Another_artifact_of_the_same_name_gets_its_own_weights()
    {
        string artifact = Compile("m", "int4");
        _ = Run(artifact, Options);
        File.Move(Compile("n", "int8"), artifact, overwrite: true);

        Assert.Equal(Run(artifact, new ModelSessionOptions()), Run(artifact, Options));
        Assert.Equal(2, Directory.GetFiles(Kept).Length);
        File.Copy(artifact, _folder["copy.mpack"]);
        Assert.Equal(0, RunCounted(_folder["copy.mpack"]).Read);
        Assert.Empty(_warnings);
    }

    [Fact]
    public void Verify_finds_a_damaged_byte_of_a_weight()
    {
        string artifact = Compile("m", "int4");
        _ = Run(artifact, Options);
        string file = Assert.Single(Directory.GetFiles(Kept));
        VerifyResult whole = Verification.Verify(artifact, prepared: Kept);
        Assert.True(whole.Ok);
        Assert.Contains("1 file of this artifact", whole.Note, StringComparison.Ordinal);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^1] ^= 1;
        File.WriteAllBytes(file, bytes);

        string error = Assert.Single(Verification.Verify(artifact, prepared: Kept).Errors);
        Assert.StartsWith($"{file}: error {ErrorCodes.PreparedDamaged}: ", error, StringComparison.Ordinal);
        Assert.Single(Verification.VerifyStored(artifact, prepared: Kept).Errors);
        File.Delete(file);
        _ = Run(artifact, Options);
        Assert.True(Verification.VerifyStored(artifact, prepared: Kept).Ok);
        Assert.Equal(ErrorCodes.FileNotFound, Assert.Throws<ModelPackException>(() => Verification.Verify(artifact, prepared: _folder["none"])).Code);
    }

    [Fact]
    public void Verify_leaves_weights_of_others_alone_but_not_files_that_nobody_can_read()
    {
        string artifact = Compile("m", "int4");
        _ = Run(Compile("other", "int8"), Options);
        byte[] bytes = File.ReadAllBytes(Assert.Single(Directory.GetFiles(Kept)));
        bytes[^1] ^= 1;
        File.WriteAllBytes(Directory.GetFiles(Kept)[0], bytes);
        Assert.True(Verification.VerifyStored(artifact, prepared: Kept).Ok);

        _ = Run(artifact, Options);
        string own = Directory.GetFiles(Kept).Single(f => !File.ReadAllBytes(f).SequenceEqual(bytes));
        File.Copy(own, Path.Combine(Kept, "renamed.weights"));
        File.WriteAllText(Path.Combine(Kept, "text.weights"), "no weights, and longer than the header of a file without any would be, which has only this many bytes");
        Assert.Equal(2, Verification.VerifyStored(artifact, prepared: Kept).Errors.Count);
    }

    [Fact]
    public void Openings_at_once_make_one_file_and_compute_the_same()
    {
        string artifact = Compile("m", "int4");
        byte[] expected = Run(artifact, new ModelSessionOptions());

        Parallel.For(0, 6, new ParallelOptions { MaxDegreeOfParallelism = 6 }, _ => Assert.Equal(expected, Run(artifact, Options)));

        Assert.Single(Directory.GetFileSystemEntries(Kept));
        Assert.Empty(_warnings);
    }

    [Fact]
    public void Folder_that_cannot_be_written_is_an_error_with_its_path()
    {
        string artifact = Compile("m", "int4");
        File.WriteAllText(Kept, "a file");

        ModelPackException error = Assert.Throws<ModelPackException>(() => PackedModel.Open(artifact, Options));

        Assert.Equal(ErrorCodes.FileUnwritable, error.Code);
        Assert.StartsWith(Kept, error.Path, StringComparison.Ordinal);
    }

    [Fact]
    public void Disk_that_is_full_leaves_nothing()
    {
        byte[] bytes = new byte[3000];
        using var buffer = new WeightBuffer(bytes.Length);
        PreparedHeader plan = PreparedHeader.Plan(new byte[32], new byte[32], [bytes.Length])!;
        foreach (long room in new long[] { 0, 100, plan.FileBytes - 1, plan.FileBytes })
        {
            using var files = new AtomicFiles();
            ModelPackException? error = Record.Exception(() => files.Add(_folder["w"], file => PreparedWriter.Write(new SmallDisk(file, room), plan, take => take(new LoadedWeight("w0", buffer, ["w"], true))))) as ModelPackException;
            Assert.Equal(room < plan.FileBytes, error?.Code == ErrorCodes.FileUnwritable);
        }

        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Damaged_artifact_leaves_nothing()
    {
        string artifact = Compile("m", "int4");
        using PackReader reader = PackReader.Open(artifact);
        var source = new CountingSource(new PackSource(reader)) { FailAt = 3 };

        Assert.Equal(ErrorCodes.ArtifactChunk, Assert.Throws<ModelPackException>(() => PackedModel.Open(artifact, source, Options)).Code);

        Assert.False(Directory.Exists(Kept));
    }

    [Fact]
    public void Sources_without_identity_keep_nothing()
    {
        string artifact = Compile("m", "int4");
        using PackReader reader = PackReader.Open(artifact);
        using PackedModel model = PackedModel.Open(artifact, new CountingSource(new PackSource(reader)) { Identity = null }, Options);
        Assert.False(Directory.Exists(Kept));
    }

    [Fact]
    public void Command_line_keeps_uses_and_checks_them()
    {
        string artifact = Compile("m", "int4");
        string[] run = ["run", artifact, "--input", "ids=random", "--prepared", Kept, "--json"];
        Assert.Equal(0, CliHarness.Run(run).ExitCode);
        string file = Assert.Single(Directory.GetFiles(Kept));
        File.WriteAllText(file, "text");

        (int code, string shown, string error) = CliHarness.Run(run);

        Assert.Equal(0, code);
        Assert.StartsWith("{", shown, StringComparison.Ordinal);
        Assert.StartsWith($"{file}: warning MP5090: has 4 bytes", error, StringComparison.Ordinal);
        Assert.Equal(("", 0), (CliHarness.Run([.. run, "--resident", "1"]).Error, CliHarness.Run("verify", artifact, "--prepared", Kept).ExitCode));
        File.AppendAllText(file, "more");
        (code, _, error) = CliHarness.Run("verify", artifact, "--prepared", Kept);
        Assert.Equal((1, true), (code, error.StartsWith($"{file}: error MP5090: ", StringComparison.Ordinal)));
    }

    /// <summary>Spoils the file of an artifact that was opened before, and opens that again.</summary>
    private void Spoil(string what, Func<byte[], byte[]> spoil)
    {
        string artifact = Compile("m", "int4");
        byte[] expected = Run(artifact, Options);
        string file = Assert.Single(Directory.GetFiles(Kept));
        byte[] whole = File.ReadAllBytes(file);
        File.WriteAllBytes(file, spoil([.. whole]));
        Assert.Empty(_warnings);

        Assert.Equal(expected, Run(artifact, Options));

        string warning = Assert.Single(_warnings);
        Assert.StartsWith($"{file}: warning {ErrorCodes.PreparedDamaged}: ", warning, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', warning);
        Assert.True(whole.AsSpan().SequenceEqual(File.ReadAllBytes(file)), what);
        Assert.Equal(0, RunCounted(artifact).Read);
        Assert.Single(_warnings);
    }

    private static int HeaderBytes(byte[] bytes) => 88 + (24 * BitConverter.ToInt32(bytes, 12)) + sizeof(ulong);

    private string Compile(string name, string recipe)
    {
        string model = _folder.Write(name + ".onnx", NetworkModel.Language());
        string artifact = _folder[name + ".mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = recipe, Sets = recipe == "int4" ? ["quantize.ends=same", "quantize.min_elements=64"] : [] });
        return artifact;
    }

    private static byte[] Run(string artifact, ModelSessionOptions options)
    {
        using PackedModel model = PackedModel.Open(artifact, options);
        return model.Run(SampleInputs.Random(model))[0].Bytes.ToArray();
    }

    private (byte[] Output, int Read) RunCounted(string artifact)
    {
        using PackReader reader = PackReader.Open(artifact);
        var source = new CountingSource(new PackSource(reader));
        using PackedModel model = PackedModel.Open(artifact, source, Options);
        return (model.Run(SampleInputs.Random(model))[0].Bytes.ToArray(), source.Read);
    }

    /// <summary>The file that is mapped at an address.</summary>
    private static string? MappedAt(nint address) => File.ReadLines("/proc/self/maps").FirstOrDefault(line =>
    {
        string[] range = line.Split(' ', 2)[0].Split('-');
        return (ulong)address >= Convert.ToUInt64(range[0], 16) && (ulong)address < Convert.ToUInt64(range[1], 16);
    }) is string found && found.IndexOf('/', StringComparison.Ordinal) is > 0 and int at ? found[at..] : null;

    /// <summary>An artifact that counts how often something of it is decoded, and may be damaged.</summary>
    private sealed class CountingSource : IWeightSource
    {
        private readonly PackSource _artifact;
        private int _read;

        public CountingSource(PackSource artifact)
        {
            _artifact = artifact;
            Identity = artifact.Identity;
        }

        public int Read => _read;

        public int FailAt { get; init; } = int.MaxValue;

        public byte[]? Identity { get; init; }

        public TensorData? Blob(string name) => _artifact.Blob(name);

        public IStoredWeight? Find(string tensor) => _artifact.Find(tensor) is IStoredWeight weight ? new Weight(this, weight) : null;

        private void Count()
        {
            if (Interlocked.Increment(ref _read) == FailAt)
            {
                throw new ModelPackException(ErrorCodes.ArtifactChunk, "damaged");
            }
        }

        private sealed class Weight(CountingSource source, IStoredWeight weight) : IStoredWeight
        {
            public DType DType => weight.DType;

            public Shape Shape => weight.Shape;

            public DenseEncoding? Matrix => weight.Matrix;

            public StructuredEncoding? Sparse => weight.Sparse;

            public void ReadDense(DType target, nint destination, long lengthBytes, int threads)
            {
                source.Count();
                weight.ReadDense(target, destination, lengthBytes, threads);
            }

            public (DType DType, long LengthBytes)? Stream(string role) => weight.Stream(role);

            public void ReadStream(string role, nint destination, long lengthBytes, int threads)
            {
                source.Count();
                weight.ReadStream(role, destination, lengthBytes, threads);
            }
        }
    }

    /// <summary>A file on a disk with room for so many bytes.</summary>
    private sealed class SmallDisk(Stream file, long room) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => true;

        public override bool CanWrite => true;

        public override long Length => file.Length;

        public override long Position { get => file.Position; set => file.Position = value; }

        public override void Flush() => file.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => file.Seek(offset, origin);

        public override void SetLength(long value) => file.SetLength(value);

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (Position + buffer.Length > room)
            {
                throw new IOException("No space left on device");
            }

            file.Write(buffer);
        }
    }
}
