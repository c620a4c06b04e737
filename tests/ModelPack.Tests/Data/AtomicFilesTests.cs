using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Data;

public sealed class AtomicFilesTests
{
    [Fact]
    public void Commit_names_all_files_and_replaces_old_ones()
    {
        using var folder = new TempFolder();
        folder.Write("a", "old");
        using (var files = new AtomicFiles())
        {
            files.AddFolder(folder["sub/deep"]);
            files.Add(folder["a"], s => s.Write("new"u8));
            files.Add(folder["sub/deep/b"], s => s.Write("b"u8));
            Assert.Equal("old", File.ReadAllText(folder["a"]));
            Assert.False(File.Exists(folder["sub/deep/b"]));
            files.Commit();
            Assert.Equal([folder["a"], folder["sub/deep/b"]], files.Paths);
        }

        Assert.Equal("new", File.ReadAllText(folder["a"]));
        Assert.Equal("b", File.ReadAllText(folder["sub/deep/b"]));
        Assert.Equal(2, Directory.GetFiles(folder.Path, "*", SearchOption.AllDirectories).Length);
    }

    [Fact]
    public void Dispose_without_commit_leaves_nothing()
    {
        using var folder = new TempFolder();
        folder.Write("a", "old");
        Assert.Throws<InvalidOperationException>(() =>
        {
            using var files = new AtomicFiles();
            files.AddFolder(folder["sub/deep"]);
            files.Add(folder["a"], s => s.Write("new"u8));
            files.Add(folder["sub/deep/b"], _ => throw new InvalidOperationException("stop"));
        });
        Assert.Equal([folder["a"]], Directory.GetFileSystemEntries(folder.Path));
        Assert.Equal("old", File.ReadAllText(folder["a"]));
    }

    [Fact]
    public void FileUnwritable_names_the_path()
    {
        using var folder = new TempFolder();
        string file = folder.Write("file", "x");
        using var files = new AtomicFiles();
        var e = Assert.Throws<ModelPackException>(() => files.AddFolder(Path.Combine(file, "sub")));
        Assert.Equal(ErrorCodes.FileUnwritable, e.Code);
        e = Assert.Throws<ModelPackException>(() => files.Add(Path.Combine(folder.Path, "absent", "x"), _ => { }));
        Assert.Equal(ErrorCodes.FileUnwritable, e.Code);
        files.Add(folder["folder"], s => s.WriteByte(1));
        Directory.CreateDirectory(folder["folder"]);
        e = Assert.Throws<ModelPackException>(files.Commit);
        Assert.Equal(ErrorCodes.FileUnwritable, e.Code);
        Assert.Equal(folder["folder"], e.Path);
    }
}
