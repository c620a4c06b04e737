namespace ModelPack.Cli;

/// <summary>
/// Shell glue around the parser's own completions: each script passes the line and the cursor position to
/// <c>modelpack "[suggest:position]" "line"</c> and offers what it prints, or file names when it prints nothing.
/// </summary>
internal static class CompletionScripts
{
    private const string Bash = """
        # modelpack completion for bash: source <(modelpack completion bash)
        _modelpack_complete() {
          local IFS=$'\n'
          local word="${COMP_WORDS[COMP_CWORD]}"
          COMPREPLY=( $(compgen -W "$(modelpack "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "$word") )
        }
        complete -o default -F _modelpack_complete modelpack

        """;

    private const string Zsh = """
        #compdef modelpack
        # modelpack completion for zsh: modelpack completion zsh > "${fpath[1]}/_modelpack"
        _modelpack() {
          local -a completions
          completions=("${(@f)$(modelpack "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}")
          completions=("${(@)completions:#}")
          if (( ${#completions} )); then
            compadd -- "${completions[@]}"
          fi
          _files
        }
        if [ "$funcstack[1]" = "_modelpack" ]; then
          _modelpack "$@"
        else
          compdef _modelpack modelpack
        fi

        """;

    private const string Fish = """
        # modelpack completion for fish: modelpack completion fish > ~/.config/fish/completions/modelpack.fish
        function __modelpack_complete
          set -l line (commandline --current-process --cut-at-cursor)
          modelpack "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c modelpack -a '(__modelpack_complete)'

        """;

    private const string Pwsh = """
        # modelpack completion for PowerShell: modelpack completion pwsh | Out-String | Invoke-Expression
        Register-ArgumentCompleter -Native -CommandName modelpack -ScriptBlock {
          param($wordToComplete, $commandAst, $cursorPosition)
          modelpack "[suggest:$cursorPosition]" "$commandAst" 2>$null |
            Where-Object { $_ -like "$wordToComplete*" } |
            ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
        }

        """;

    /// <summary>Scripts by shell name.</summary>
    public static IReadOnlyDictionary<string, string> All { get; } = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["bash"] = Bash,
        ["zsh"] = Zsh,
        ["fish"] = Fish,
        ["pwsh"] = Pwsh,
    };
}
